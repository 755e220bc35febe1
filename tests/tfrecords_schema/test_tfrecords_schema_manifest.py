"""The manifest: written, read, refused, and compared with what lies beside it."""

import dataclasses
import json
import os

import pytest

from tfrecords_schema.errors import InputError
from tfrecords_schema.manifest import (
    MANIFEST_FILE,
    SCHEMA_VERSION,
    VOCABULARY_FILE,
    Encoder,
    ImageCounts,
    Manifest,
    Shard,
    check_dataset,
    read_manifest,
    write_manifest,
)
from tfrecords_schema.shards import shard_name
from tfrecords_schema.vocabulary import Vocabulary

VOCABULARY = Vocabulary(["dog", "runs"])
SHARDS = {
    "train": [
        Shard(shard_name("train", 0, 2), images=3, captions=15, bytes=100, sha256="aa"),
        Shard(shard_name("train", 1, 2), images=2, captions=9, bytes=70, sha256="bb"),
    ],
    "test": [Shard(shard_name("test", 0, 1), images=0, captions=0, bytes=0, sha256="cc")],
}
MANIFEST = Manifest(
    splits=SHARDS,
    image_counts={
        "train": ImageCounts(7, 5, 1, 1),
        "test": ImageCounts(),
        "unassigned": ImageCounts(1, 0, 1, 0),
    },
    captions_rejected=4,
    vocabulary_size=len(VOCABULARY),
    vocabulary_sha256=VOCABULARY.sha256(),
    encoder=Encoder("tiny", "dd", image_size=64, feature_shape=(8, 8, 128)),
    feature_dtype="float16",
    config={"encoder": "tiny", "split_fractions": [0.8, 0.1, 0.1]},
    versions={"tensorflow": "2.21.0"},
)
TEXT = dataclasses.replace(MANIFEST, encoder=None)


@pytest.fixture
def dataset(tmp_path):
    """A directory with what MANIFEST says."""
    (tmp_path / VOCABULARY_FILE).write_text(VOCABULARY.to_text())
    for shards in SHARDS.values():
        for shard in shards:
            (tmp_path / shard.file).write_bytes(b"x" * shard.bytes)
    write_manifest(str(tmp_path), MANIFEST)
    return tmp_path


def change(dataset, change_fields):
    """Writes the manifest again with changed fields."""
    fields = json.loads((dataset / MANIFEST_FILE).read_text())
    change_fields(fields)
    (dataset / MANIFEST_FILE).write_text(json.dumps(fields))


def assert_refused(function, *named):
    with pytest.raises(InputError) as error:
        function()
    for text in named:
        assert str(text) in str(error.value)


def test_a_manifest_is_read_as_it_was_written(dataset):
    read = read_manifest(str(dataset))
    assert read == MANIFEST
    assert read.schema_version == SCHEMA_VERSION
    assert isinstance(read.encoder.feature_shape, tuple)
    assert read.splits["train"][1] == SHARDS["train"][1]


def test_a_manifest_of_text_has_no_encoder_and_no_features(dataset):
    write_manifest(str(dataset), TEXT)
    read = read_manifest(str(dataset))
    assert read == TEXT
    assert read.encoder is None
    assert read.features().keys() == MANIFEST.features().keys() - {"image_features"}
    assert read.fingerprints() == {
        "vocabulary_sha256": VOCABULARY.sha256(),
        "encoder_sha256": "",
    }
    check_dataset(str(dataset), read)


def test_the_shape_of_the_features_is_asked_for_in_vain_where_there_are_none():
    assert MANIFEST.feature_shape() == (8, 8, 128)
    assert_refused(TEXT.feature_shape, "--data", "--features=none", "--features=grid")


def test_writing_again_replaces_the_manifest(dataset):
    other = dataclasses.replace(MANIFEST, captions_rejected=5)
    write_manifest(str(dataset), other)
    assert read_manifest(str(dataset)) == other


def test_images_and_features_and_fingerprints_are_those_of_the_dataset():
    assert (MANIFEST.images("train"), MANIFEST.images("test")) == (5, 0)
    features = MANIFEST.features()["image_features"]
    assert (features.shape, features.dtype) == ((8, 8, 128), "float16")
    assert MANIFEST.fingerprints() == {
        "vocabulary_sha256": VOCABULARY.sha256(),
        "encoder_sha256": "dd",
    }


def test_a_directory_that_does_not_exist_is_refused(tmp_path):
    missing = tmp_path / "nowhere"
    assert_refused(lambda: read_manifest(str(missing)), missing, "does not exist")


def test_a_directory_without_a_manifest_is_refused_with_what_to_do(tmp_path):
    assert_refused(lambda: read_manifest(str(tmp_path)), tmp_path, MANIFEST_FILE, "run the same")


@pytest.mark.parametrize("content", [b"", b"{", b'{"splits": ', b"\xff\xfe{}"])
def test_a_manifest_that_is_not_json_is_refused(dataset, content):
    (dataset / MANIFEST_FILE).write_bytes(content)
    assert_refused(lambda: read_manifest(str(dataset)), dataset / MANIFEST_FILE, "not valid JSON")


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_a_manifest_of_another_version_is_refused_with_both_versions(dataset, version):
    change(dataset, lambda fields: fields.update(schema_version=version))
    assert_refused(
        lambda: read_manifest(str(dataset)),
        dataset / MANIFEST_FILE, f"version {version}", f"reads {SCHEMA_VERSION}",
    )  # fmt: skip


@pytest.mark.parametrize("content", ["[]", "3", "null", '"manifest"'])
def test_a_manifest_of_json_that_is_no_object_is_refused(dataset, content):
    (dataset / MANIFEST_FILE).write_text(content)
    assert_refused(lambda: read_manifest(str(dataset)), dataset / MANIFEST_FILE, "no JSON object")


def test_a_manifest_without_a_version_is_refused(dataset):
    (dataset / MANIFEST_FILE).write_text("{}")
    assert_refused(lambda: read_manifest(str(dataset)), dataset / MANIFEST_FILE, "version None")


def test_the_ids_of_a_dataset_of_an_earlier_version_are_texts(dataset):
    write_manifest(str(dataset), dataclasses.replace(MANIFEST, integer_ids=True))
    assert read_manifest(str(dataset)).integer_ids
    change(dataset, lambda fields: fields.pop("integer_ids"))
    assert read_manifest(str(dataset)) == MANIFEST and not MANIFEST.integer_ids


@pytest.mark.parametrize(
    "field",
    [f.name for f in dataclasses.fields(Manifest) if f.default is dataclasses.MISSING],
)
def test_a_missing_field_is_refused_by_name(dataset, field):
    field = "books" if field == "image_counts" else field  # its name in the file
    change(dataset, lambda fields: fields.pop(field))
    assert_refused(lambda: read_manifest(str(dataset)), dataset / MANIFEST_FILE, "damaged", field)


@pytest.mark.parametrize(
    "change_fields, named",
    [
        (lambda f: f.update(surprise=1), "surprise"),
        (lambda f: f["encoder"].pop("feature_shape"), "feature_shape"),
        (lambda f: f["encoder"].update(surprise=1), "surprise"),
        (lambda f: f["splits"]["train"][0].pop("sha256"), "sha256"),
        (lambda f: f["books"]["train"].update(lost=1), "lost"),
        (lambda f: f.update(splits=[]), "damaged"),
        (lambda f: f.update(books=None), "damaged"),
        (lambda f: f.update(encoder="tiny"), "damaged"),
        (lambda f: f["encoder"].update(feature_shape=None), "damaged"),
        (lambda f: f["encoder"].update(feature_shape=["8", 8, 128]), "encoder.feature_shape is"),
        (lambda f: f["splits"]["train"][0].update(images="3"), "splits.train.images is '3'"),
        (lambda f: f["splits"].update(train=[3]), "splits.train is 3"),
        (lambda f: f["splits"]["train"][0].update(bytes=True), "must be of type int"),
        (lambda f: f["books"]["train"].update(read=1.5), "books.train.read is 1.5"),
        (lambda f: f.update(vocabulary_size="6"), "vocabulary_size is '6', it must be of type int"),
        (lambda f: f.update(config=[]), "config is [], it must be of type dict"),
        (lambda f: f.update(feature_dtype="float99"), "'float99' is not one of"),
    ],
)
def test_fields_that_do_not_fit_are_refused(dataset, change_fields, named):
    change(dataset, change_fields)
    assert_refused(lambda: read_manifest(str(dataset)), dataset / MANIFEST_FILE, named)


def test_a_whole_dataset_is_accepted(dataset):
    check_dataset(str(dataset), read_manifest(str(dataset)))


@pytest.mark.parametrize("shard", [s for shards in SHARDS.values() for s in shards])
def test_a_missing_shard_is_found(dataset, shard):
    os.remove(dataset / shard.file)
    assert_refused(
        lambda: check_dataset(str(dataset), MANIFEST),
        dataset / shard.file, "is missing", f"{shard.bytes} bytes",
    )  # fmt: skip


@pytest.mark.parametrize("size", [0, 69, 71])
def test_a_shard_of_another_size_is_found(dataset, size):
    path = dataset / SHARDS["train"][1].file
    path.write_bytes(b"x" * size)
    assert_refused(
        lambda: check_dataset(str(dataset), MANIFEST), path, f"has {size} bytes", "70 bytes"
    )


def test_a_vocabulary_of_other_words_than_the_manifest_says_is_found(dataset):
    other = Vocabulary(["dog", "walks"])
    (dataset / VOCABULARY_FILE).write_text(other.to_text())
    assert_refused(
        lambda: check_dataset(str(dataset), MANIFEST),
        dataset / VOCABULARY_FILE, other.sha256(), VOCABULARY.sha256(),
    )  # fmt: skip


def test_a_vocabulary_of_another_size_is_found_in_the_manifest(dataset):
    change(dataset, lambda fields: fields.update(vocabulary_size=99))
    manifest = read_manifest(str(dataset))
    assert_refused(
        lambda: check_dataset(str(dataset), manifest),
        dataset / MANIFEST_FILE, "99 tokens", f"has {len(VOCABULARY)}",
    )  # fmt: skip


@pytest.mark.parametrize("directory", ["foo://bucket/data", "gs://"])
def test_a_bucket_that_cannot_be_asked_is_named(directory):
    assert_refused(
        lambda: read_manifest(directory), f"{directory}/{MANIFEST_FILE}".replace("///", "//"),
        "cannot be read",
    )  # fmt: skip


def test_a_missing_vocabulary_is_found(dataset):
    os.remove(dataset / VOCABULARY_FILE)
    assert_refused(lambda: check_dataset(str(dataset), MANIFEST), dataset / VOCABULARY_FILE)


@pytest.mark.parametrize(
    "counts, complete",
    [
        (ImageCounts(), True),
        (ImageCounts(read=6, written=3, rejected=2, duplicates=1), True),
        (ImageCounts(read=7, written=3, rejected=2, duplicates=1), False),
        (ImageCounts(read=5, written=3, rejected=2, duplicates=1), False),
        (ImageCounts(written=1), False),
    ],
)
def test_images_add_up_where_every_image_is_accounted_for(counts, complete):
    assert counts.add_up() is complete
