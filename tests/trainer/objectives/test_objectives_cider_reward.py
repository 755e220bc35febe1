"""The reward against the published scorer."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocoevalcap.cider.cider import Cider

from tfrecords_schema.dataset import open_dataset
from tfrecords_schema.errors import InputError
from tfrecords_schema.manifest import read_manifest
from trainer.objectives.cider_reward import CiderReward, read_reward

END = 3
CAPTION = st.lists(st.integers(4, 9), max_size=8).map(lambda ids: [*ids, END])
IMAGE = st.tuples(CAPTION, st.lists(CAPTION, min_size=1, max_size=4))


def padded(captions, length=10):
    return np.array([ids + [0] * (length - len(ids)) for ids in captions], np.int32)


def published(images):
    text = [" ".join(map(str, ids)) for ids, _ in images]
    references = {
        i: [" ".join(map(str, ids)) for ids in refs] for i, (_, refs) in enumerate(images)
    }
    return Cider().compute_score(references, {i: [t] for i, t in enumerate(text)})[1]


@settings(deadline=None, max_examples=60)
@given(st.lists(IMAGE, min_size=2, max_size=6))
def test_the_cider_reward_gives_the_published_scores(images):
    reward = CiderReward(refs for _, refs in images)
    references = np.zeros([len(images), 5, 10], np.int32)
    for i, (_, refs) in enumerate(images):
        references[i, : len(refs)] = padded(refs)
    scores = reward(padded([ids for ids, _ in images])[:, np.newaxis], references)
    assert scores.dtype == np.float32 and scores.shape == (len(images), 1)
    np.testing.assert_allclose(scores[:, 0], published(images), atol=1e-4)


def test_a_caption_that_breaks_off_scores_less():
    reward = CiderReward([[[4, 5, 6, END]], [[7, 8, END]], [[9, END]]])
    references = padded([[4, 5, 6, END]])[np.newaxis]
    captions = padded([[4, 5, 6, END], [4, 5, 6], [4, 5, END], [END]])[np.newaxis]
    whole, cut, short, empty = reward(captions, references)[0]
    assert whole == pytest.approx(10)
    assert whole > cut > empty and whole > short > empty


def test_images_without_references_score_nothing():
    reward = CiderReward([[[4, END]], [[5, END]]])
    assert reward(np.full([1, 2, 4], 4, np.int32), np.zeros([1, 3, 4], np.int32)).tolist() == [
        [0, 0]
    ]


def test_frequencies_are_those_of_the_training_split(dataset):
    manifest = read_manifest(dataset)
    reward = read_reward(open_dataset(dataset))
    assert reward._log_images == pytest.approx(np.log(manifest.images("train")))
    assert reward._frequencies[(END,)] == manifest.images("train")


@settings(deadline=None, max_examples=60)
@given(st.lists(st.lists(st.sampled_from([[4, END], [5, END]]), min_size=1), min_size=2))
def test_captions_that_are_all_alike_tell_nothing(images):
    reward = CiderReward(images)
    captions = padded([[4, END], [5, END]])[np.newaxis]
    scores = [reward(captions, padded(each)[np.newaxis]).max() for each in images]
    assert reward.can_tell == (max(scores) > 0)


def test_a_dataset_without_a_reward_is_refused(dataset, monkeypatch):
    monkeypatch.setattr(CiderReward, "can_tell", False, raising=False)
    monkeypatch.setattr(CiderReward, "__init__", lambda self, images: None)
    with pytest.raises(
        InputError, match=r"--objective=self_critical: .* all have the same captions"
    ):
        read_reward(open_dataset(dataset))
