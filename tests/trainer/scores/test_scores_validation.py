"""By what a model is chosen: CIDEr, and where that tells nothing, the loss on the references."""

import dataclasses
import os
import shutil

import numpy as np
import pytest
import tensorflow as tf
from small_configs import train_config

from tfrecords_schema.dataset import open_dataset
from tfrecords_schema.manifest import read_manifest, write_manifest
from tfrecords_schema.parse import parse_record
from trainer.decoding.caption_split import SplitCaptioner
from trainer.decoding.search_config import SearchConfig
from trainer.loop import train
from trainer.runs.run_log import read_metrics
from trainer.scores.distinct_captions import ADVICE, of_few_captions
from trainer.scores.metrics import score_cider, tokenize_references
from trainer.scores.validation import Validated, Validation, is_better
from trainer.trained_run import load_run


def rows_of_epochs(run):
    return [row for row in read_metrics(run) if "validation_loss" in row]


def loss_word_by_word(trained, split, images):
    """Mean over the words of the references of -log p, by the model's own single steps."""
    model, losses = trained.model, []
    paths = [
        os.path.join(trained.config.data, s.file) for s in trained.dataset.manifest.splits[split]
    ]
    for serialized in tf.data.TFRecordDataset(paths).take(images):
        record = parse_record(trained.dataset.manifest.features(), serialized)
        grid = tf.cast(record["image_features"], tf.float32)
        context = model.encode(tf.reshape(grid, [1, -1, grid.shape[-1]]))
        for ids in record["caption_ids"].to_list():
            state = model.start(context)
            for word, following in zip(ids, ids[1:], strict=False):
                logits, state = model.step(context, state, tf.constant([word]))
                losses.append(-tf.nn.log_softmax(logits)[0, following].numpy())
    return np.mean(losses)


def test_the_validation_loss_is_of_each_word_given_the_words_before(trained_run):
    trained = load_run(trained_run)
    config = dataclasses.replace(trained.config, validation_images=5)
    found = Validation(config, trained.dataset, trained.model)()
    assert found.loss == pytest.approx(loss_word_by_word(trained, "validation", 5), rel=1e-5)


def test_an_epoch_logs_the_loss_of_the_model_that_it_keeps(trained_run):
    rows = rows_of_epochs(trained_run)
    assert [row["epoch"] for row in rows] == [1, 2]
    trained = load_run(trained_run)
    greedy = SearchConfig(beam_width=1, length_penalty=0.0)
    split = SplitCaptioner(trained.model, trained.dataset, "validation", greedy)()
    best = max(rows, key=lambda row: (row["validation_cider"], -row["validation_loss"]))
    assert best["validation_loss"] == pytest.approx(split.loss, rel=1e-6)
    assert best["distinct_captions"] == len(set(split.captions.values()))


def test_cider_comes_first_and_then_the_lower_loss():
    nothing_yet = (-1.0, np.inf)
    assert is_better(0.0, 5.0, *nothing_yet)
    assert is_better(2.0, 5.0, 1.0, 3.0) and not is_better(1.0, 3.0, 2.0, 5.0)
    assert is_better(0.0, 2.9, 0.0, 3.0) and not is_better(0.0, 3.0, 0.0, 3.0)


def with_validation(dataset, directory, keep):
    """A copy of a dataset with the images of validation that `keep` makes of its records."""
    shutil.copytree(dataset, directory)
    manifest = read_manifest(directory)
    shard = manifest.splits["validation"][0]
    path = os.path.join(directory, shard.file)
    records = keep([record.numpy() for record in tf.data.TFRecordDataset(path)])
    captions = 0
    with tf.io.TFRecordWriter(path) as writer:
        for record in records:
            example = tf.train.Example.FromString(record)
            captions += len(example.features.feature["captions"].bytes_list.value)
            writer.write(record)
    new = dataclasses.replace(
        shard, images=len(records), captions=captions, bytes=os.path.getsize(path)
    )
    splits = {**manifest.splits, "validation": [new]}
    write_manifest(directory, dataclasses.replace(manifest, splits=splits))


@pytest.mark.slow
def test_the_epoch_of_the_lowest_loss_is_kept_where_there_is_one_validation_image(
    dataset, tmp_path, monkeypatch, capsys
):
    data, run = str(tmp_path / "data"), str(tmp_path / "run")
    with_validation(dataset, data, lambda records: records[:1])
    kept, make, losses = [], Validation.__init__, iter([3.0, 2.5, 2.75, 2.9, 2.6])

    def watched(self, config, dataset, model, show_progress):
        make(self, config, dataset, model, show_progress)
        self.model = model

    def validated(self):
        kept.append([weight.numpy() for weight in self.model.weights])
        cider = score_cider(self._references, {image: "a"})
        return Validated(cider, next(losses), 1, "1 caption.")

    [image] = open_dataset(data).references("validation")
    monkeypatch.setattr(Validation, "__init__", watched)
    monkeypatch.setattr(Validation, "__call__", validated)
    config = train_config(data, run, epochs=9, patience=2)
    best = {"validation_cider": 0.0, "validation_loss": 2.5}
    assert train(config).best == best
    output = capsys.readouterr().out
    said = output.index(
        f"--data: CIDEr is 0 by definition on the validation split of {data}, which has 1 image: "
        "the model is chosen by the validation loss"
    )
    assert said < output.index("epoch 1: loss")
    assert output.count("\n1 caption.\n") == 4 and output.endswith(f"{ADVICE}\n")
    assert "validation CIDEr 0.0, validation loss 2.750 (best 2.500)" in output
    assert "best validation loss 2.500 nats a word, for CIDEr was 0 after all epochs" in output
    assert len(kept) == 4  # two without a better one
    assert [row["validation_loss"] for row in rows_of_epochs(run)] == [3.0, 2.5, 2.75, 2.9]
    # A run that goes on knows the best loss.
    assert train(dataclasses.replace(config, patience=3)).best == best
    assert "CIDEr is 0 by definition" in capsys.readouterr().out
    assert len(kept) == 5
    for weight, second in zip(load_run(run).model.weights, kept[1], strict=True):
        np.testing.assert_array_equal(weight, second)


def test_a_validation_loss_that_is_not_finite_ends_the_run(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(Validation, "__call__", lambda self: Validated(5.0, np.nan, 9))
    with pytest.raises(FloatingPointError, match="the validation loss is nan after epoch 1; the"):
        train(train_config(dataset, tmp_path / "run"))
    assert not (tmp_path / "run" / "best").exists()


def test_validation_captions_that_are_all_alike_are_told(dataset, trained_run, tmp_path):
    data = str(tmp_path / "data")

    def same_captions(records):
        examples = [tf.train.Example.FromString(record) for record in records]
        for example in examples[1:]:
            for name in ("captions", "caption_ids/ragged_flat_values",
                         "caption_ids/ragged_row_lengths_0"):  # fmt: skip
                feature = examples[0].features.feature[name]
                example.features.feature[name].CopyFrom(feature)
        return [example.SerializeToString() for example in examples]

    with_validation(dataset, data, same_captions)
    trained = load_run(trained_run)
    config = dataclasses.replace(trained.config, data=data)
    alike = Validation(config, open_dataset(data), trained.model)
    images = read_manifest(data).images("validation")
    assert f"the same captions for all of its {images} images" in alike.what_decides()
    assert alike().cider == 0.0
    assert Validation(trained.config, trained.dataset, trained.model).what_decides() == ""


def references_of(texts):
    return tokenize_references({str(i): [text] for i, text in enumerate(texts)}, "treebank")


def test_captions_are_few_by_what_people_wrote_of_the_same_images():
    names = [f"dog number{i}" for i in range(149)]
    references = references_of(names)

    def said(distinct):
        return {str(i): f"a dog {i % distinct}" for i in range(149)}

    one = of_few_captions(said(1), references)
    assert one == "149 images, 1 caption: the model does not look at the image."
    few = of_few_captions(said(7), references)
    assert few == "149 images, 7 different captions: the model hardly looks at the image."
    nothing = of_few_captions({str(i): "" for i in range(149)}, references)
    assert nothing == "149 images, no word: the model does not look at the image."
    assert of_few_captions(said(8), references) == ""
    # Of drawn pictures there are few kinds, and so few captions are right.
    kinds = references_of([f"a kind{i % 6} thing" for i in range(149)])
    assert of_few_captions(said(2), kinds) == ""
    assert of_few_captions(said(1), kinds) != ""
    # One caption for all is right where people wrote alike, and a few images prove nothing.
    assert of_few_captions(said(1), references_of(["a dog"] * 149)) == ""
    assert of_few_captions({"0": "a", "1": "a"}, references_of(["a dog", "a cat"])) == ""
