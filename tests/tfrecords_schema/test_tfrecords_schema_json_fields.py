"""Dataclasses from JSON: the content of files that other versions, or a bad disk, may have left."""

import dataclasses
from typing import Any

import pytest

from tfrecords_schema.json_fields import JsonError, make_instance, read_json_object


@dataclasses.dataclass(frozen=True)
class Row:
    name: str
    count: int
    rate: float
    is_on: bool
    others: dict[str, Any]
    kind: str = "plain"


FIELDS = dict(name="a", count=3, rate=0.5, is_on=True, others={"x": 1})


def test_fields_become_an_instance_and_what_is_left_out_has_its_default():
    assert make_instance(Row, FIELDS) == Row("a", 3, 0.5, True, {"x": 1}, "plain")
    assert make_instance(Row, {**FIELDS, "kind": "b", "rate": 2}).rate == 2


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"name": 3}, "field name is 3, it must be of type str"),
        ({"count": 1.5}, "field count is 1.5, it must be of type int"),
        ({"count": True}, "field count is True, it must be of type int"),
        ({"rate": "fast"}, "field rate is 'fast', it must be of type float"),
        ({"rate": None}, "field rate is None"),
        ({"is_on": 1}, "field is_on is 1, it must be of type bool"),
        ({"others": []}, "field others is [], it must be of type dict"),
        ({"surprise": 1}, "field surprise is unknown"),
    ],
)
def test_a_field_that_does_not_fit_is_named(change, expected):
    with pytest.raises(JsonError) as error:
        make_instance(Row, {**FIELDS, **change})
    assert expected in str(error.value)


def test_a_missing_field_is_named_within_its_object():
    with pytest.raises(JsonError, match=r"field rows\.count is missing"):
        make_instance(Row, {k: v for k, v in FIELDS.items() if k != "count"}, "rows")
    with pytest.raises(JsonError, match="rows is 3 and no JSON object"):
        make_instance(Row, 3, "rows")


@pytest.mark.parametrize(
    "content", [b"", b"{", b'{"a": 1', b"\0" * 20, b'{"a": "\xff"}', b"[" * 100_000]
)
def test_a_file_that_is_no_json_is_refused(tmp_path, content):
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(JsonError, match="it is not valid JSON: "):
        read_json_object(str(path))


def test_a_file_of_another_json_value_is_refused_with_its_beginning(tmp_path):
    path = tmp_path / "file"
    path.write_text('{"a": [1, 2]}')
    assert read_json_object(str(path)) == {"a": [1, 2]}
    path.write_text('"' + "x" * 500 + '"')
    with pytest.raises(JsonError, match=r"^it holds 'x{39} and no JSON object$"):
        read_json_object(str(path))
