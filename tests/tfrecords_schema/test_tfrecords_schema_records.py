"""Record -> serialize_record -> parse_record, by the one feature table."""

import io

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tfrecords_schema.feature_dtypes import FEATURE_DTYPES, IMAGE_DTYPE
from tfrecords_schema.features import Record, record_features
from tfrecords_schema.parse import caption_shapes, parse_batch, parse_record
from tfrecords_schema.serialize import serialize_record

SHAPES = ((2, 3, 4), (1, 1, 2), (5,))  # grids and pooled
TABLES = {
    (shape, dtype): record_features(shape, dtype) for shape in SHAPES for dtype in FEATURE_DTYPES
}
TEXT_TABLE = record_features(None)
IMAGE_TABLE = record_features((4, 6, 3), IMAGE_DTYPE)


@st.composite
def records(draw, keys=tuple(TABLES)):
    """A record, and the key of its table in TABLES. The features are any bits at all."""
    shape, dtype = key = draw(st.sampled_from(keys))
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    features = np.frombuffer(draw(st.binary(min_size=size, max_size=size)), dtype).reshape(shape)
    captions = draw(st.lists(st.text(max_size=20), max_size=5))
    ids = st.lists(st.integers(0, 2**31 - 1), max_size=6)
    caption_ids = draw(st.lists(ids, min_size=len(captions), max_size=len(captions)))
    return key, Record(draw(st.text()), draw(st.text()), features, captions, caption_ids)


def record(**changes):
    fields = dict(
        image_id="a.jpg", image_uri="/images/a.jpg",
        image_features=np.arange(5, dtype=np.float16),
        captions=["A dog .", "Two dogs run ."], caption_ids=[[2, 4, 3], [2, 5, 6, 7, 3]],
    )  # fmt: skip
    return Record(**{**fields, **changes})


def as_record(parsed):
    """What parse_record gave, as the Record that went in."""
    return Record(
        image_id=parsed["image_id"].numpy().decode(),
        image_uri=parsed["image_uri"].numpy().decode(),
        image_features=parsed["image_features"].numpy() if "image_features" in parsed else None,
        captions=[caption.decode() for caption in parsed["captions"].numpy()],
        caption_ids=parsed["caption_ids"].to_list(),
    )


def assert_same(got, wanted):
    assert got.image_features.dtype == wanted.image_features.dtype
    assert got.image_features.shape == wanted.image_features.shape
    assert got.image_features.tobytes() == wanted.image_features.tobytes()
    assert got._replace(image_features=None) == wanted._replace(image_features=None)


@settings(deadline=None, max_examples=60)
@given(records())
def test_a_record_comes_back_as_it_went_in_bit_for_bit(drawn):
    key, wanted = drawn
    parsed = parse_record(TABLES[key], tf.constant(serialize_record(TABLES[key], wanted)))
    assert_same(as_record(parsed), wanted)


def fields_of(features, record):
    return {name: value for name, value in record._asdict().items() if name in features}


@settings(deadline=None, max_examples=60)
@given(records())
def test_the_bytes_are_those_that_tfds_writes(drawn):
    key, wanted = drawn
    by_tfds = tf.train.Example.FromString(
        TABLES[key].serialize_example(fields_of(TABLES[key], wanted))
    )
    assert serialize_record(TABLES[key], wanted) == by_tfds.SerializeToString(deterministic=True)


def test_an_image_is_stored_as_the_file_that_it_is():
    pixels = tf.constant(np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8))
    jpeg = tf.io.encode_jpeg(pixels, quality=90).numpy()
    wanted = record(image_features=None, image=jpeg)
    serialized = serialize_record(IMAGE_TABLE, wanted)
    by_tfds = fields_of(IMAGE_TABLE, wanted) | {"image": io.BytesIO(jpeg)}
    example = tf.train.Example.FromString(IMAGE_TABLE.serialize_example(by_tfds))
    assert serialized == example.SerializeToString(deterministic=True)
    parsed = parse_record(IMAGE_TABLE, serialized)
    np.testing.assert_array_equal(parsed["image"], tf.io.decode_jpeg(jpeg))
    assert as_record(parsed) == wanted._replace(image=None)


def test_an_image_without_captions_comes_back():
    wanted = record(captions=[], caption_ids=[])
    parsed = parse_record(
        TABLES[(5,), "float16"], serialize_record(TABLES[(5,), "float16"], wanted)
    )
    assert_same(as_record(parsed), wanted)


@settings(deadline=None, max_examples=40)
@given(st.lists(records(keys=[(SHAPES[0], "float16")]), min_size=1, max_size=4))
def test_many_records_come_back_together(drawn):
    table = TABLES[drawn[0][0]]
    wanted = [one for _, one in drawn]
    serialized = tf.constant([serialize_record(table, one) for one in wanted])
    parsed = parse_batch(table, serialized)
    assert [i.decode() for i in parsed["image_id"].numpy()] == [one.image_id for one in wanted]
    features = np.stack([one.image_features for one in wanted])
    assert parsed["image_features"].numpy().tobytes() == features.tobytes()
    assert parsed["image_features"].shape == features.shape
    ids = [one.caption_ids for one in wanted]
    shapes = [[len(each), max(map(len, each), default=0)] for each in ids]
    assert caption_shapes(serialized).numpy().tolist() == shapes
    expected = np.zeros([len(wanted), *np.max(shapes, axis=0)], np.int32)
    for row, one in zip(expected, wanted, strict=True):
        for ids, caption in zip(row, one.caption_ids, strict=False):
            ids[: len(caption)] = caption
    np.testing.assert_array_equal(parsed["caption_ids"], expected)


def test_many_images_come_back_together():
    pixels = np.random.default_rng(0).integers(0, 256, (3, 4, 6, 3), np.uint8)
    jpegs = [tf.io.encode_jpeg(image).numpy() for image in pixels]
    serialized = tf.constant(
        [serialize_record(IMAGE_TABLE, record(image_features=None, image=x)) for x in jpegs]
    )
    images = parse_batch(IMAGE_TABLE, serialized)["image"]
    np.testing.assert_array_equal(images, [tf.io.decode_jpeg(x) for x in jpegs])


def test_parsed_ids_are_ragged_int32():
    table = TABLES[(5,), "float16"]
    parsed = parse_record(table, serialize_record(table, record()))
    assert isinstance(parsed["caption_ids"], tf.RaggedTensor)
    assert parsed["caption_ids"].dtype == tf.int32


@pytest.mark.parametrize("dtype", FEATURE_DTYPES)
def test_features_that_are_no_contiguous_array_come_back(dtype):
    features = np.arange(24, dtype=dtype).reshape(4, 3, 2).transpose(2, 1, 0)
    table = TABLES[(2, 3, 4), dtype]
    parsed = parse_record(table, serialize_record(table, record(image_features=features)))
    np.testing.assert_array_equal(parsed["image_features"], features)


def test_records_of_different_captions_are_parsed_in_one_dataset(tmp_path):
    table = TABLES[(5,), "float16"]
    wanted = [
        record(image_id=f"{n}.jpg", captions=["x"] * n, caption_ids=[list(range(n))] * n)
        for n in range(4)
    ]
    path = str(tmp_path / "shard")
    with tf.io.TFRecordWriter(path) as writer:
        for one in wanted:
            writer.write(serialize_record(table, one))
    parse = tf.autograph.experimental.do_not_convert(lambda example: parse_record(table, example))
    parsed = tf.data.TFRecordDataset(path).map(parse)
    for got, one in zip(parsed, wanted, strict=True):
        assert_same(as_record(got), one)


def test_the_table_has_the_fields_of_a_record():
    assert set(record_features((5,)).keys()) == set(Record._fields) - {"image"}
    assert set(IMAGE_TABLE.keys()) == set(Record._fields) - {"image_features"}


def test_the_table_of_text_has_all_but_the_features():
    assert set(TEXT_TABLE.keys()) == set(Record._fields) - {"image_features", "image"}


@settings(deadline=None, max_examples=30)
@given(records())
def test_a_record_of_text_comes_back_as_it_went_in(drawn):
    wanted = drawn[1]._replace(image_features=None)
    parsed = parse_record(TEXT_TABLE, tf.constant(serialize_record(TEXT_TABLE, wanted)))
    assert "image_features" not in parsed
    assert as_record(parsed) == wanted


def test_the_table_refuses_a_dtype_by_name():
    with pytest.raises(ValueError, match=r"float64.*float16, float32"):
        record_features((5,), "float64")


@pytest.mark.parametrize(
    "changes, named",
    [
        (dict(image_features=np.zeros(6, np.float16)), r"image_features of a\.jpg.*\(6,\).*\(5,\)"),
        (dict(image_features=np.zeros((1, 5), np.float16)), r"image_features of a\.jpg.*\(1, 5\)"),
        (dict(image_features=np.zeros(5, np.float64)), "image_features"),
        (dict(image_features=None), r"image_features of a\.jpg is None.*\(5,\) float16"),
        (dict(image=b"jpeg"), r"image of a\.jpg is a file, the dataset's are None"),
        (dict(captions=["A dog ."]), r"a\.jpg has 1 captions but caption_ids for 2"),
        (dict(caption_ids=[["dog"], ["cat"]]), "caption_ids"),
        (dict(captions=[1, 2]), "captions"),
        (dict(image_id=None), "image_id"),
        (dict(image_uri=None), "image_uri"),
    ],
)
def test_an_error_names_the_feature(changes, named):
    with pytest.raises((ValueError, TypeError), match=named):
        serialize_record(TABLES[(5,), "float16"], record(**changes))


@pytest.mark.parametrize(
    "changes, named",
    [
        (dict(), r"image_features of a\.jpg is \(5,\) float16.*None"),
        (dict(image_features=None, captions=["A dog ."]), r"a\.jpg has 1 captions"),
        (dict(image_features=None, image_id=None), "image_id"),
    ],
)
def test_an_error_in_a_record_of_text_names_the_feature(changes, named):
    with pytest.raises((ValueError, TypeError), match=named):
        serialize_record(TEXT_TABLE, record(**changes))
