"""CIDEr-D of captions in ids, the reward of training (Vedantam et al. 2015, arXiv:1411.5726, 5.2).

Evaluation uses the published scorer. This one scores single captions many times a second against
frequencies that are counted once, and returns the same numbers (a test compares them). <end> counts
as a word: otherwise a model is not punished for incomplete captions (Rennie et al. 2017).
"""

import collections
import math
from collections.abc import Iterable

import numpy as np

from tfrecords_schema.dataset import Dataset
from tfrecords_schema.errors import InputError
from tfrecords_schema.vocabulary import PAD
from trainer.data.token_counts import COUNTED_IMAGES

_LONGEST = 4  # words of an n-gram
_SIGMA = 6.0  # words, of the Gaussian penalty on differences in length

Ngrams = collections.Counter[tuple[int, ...]]


class CiderReward:
    """The CIDEr-D reward, 0 to 10 for each caption."""

    def __init__(self, images: Iterable[list[list[int]]]):
        """Counts the document frequency of each n-gram: the number of images that have it.

        Args:
          images: the captions of each image, as ids of words and <end>.
        """
        self._frequencies: collections.Counter[tuple[int, ...]] = collections.Counter()
        count = 0
        for captions in images:
            self._frequencies.update({gram for ids in captions for gram in _ngrams(ids)})
            count += 1
        self._log_images = math.log(max(count, 2))
        # An n-gram that all of several images have gets the weight 0.
        self.can_tell = count < 2 or any(n < count for n in self._frequencies.values())
        """Whether any caption can have a score other than 0."""

    def __call__(self, captions_BKT: np.ndarray, references_BRT: np.ndarray) -> np.ndarray:
        """float32 [B, K]: the score of each caption against the references of its image.

        Args:
          captions_BKT: int32, <pad> after the caption.
          references_BRT: int32, <pad> after the caption; those without a word do not count.
        """
        scores = np.zeros(captions_BKT.shape[:2], np.float32)
        for image, references in enumerate(references_BRT):
            vectors = [self._vector(row[row != PAD].tolist()) for row in references if row.any()]
            for k, row in enumerate(captions_BKT[image]):
                own = self._vector(row[row != PAD].tolist())
                sims = [_similarity(own, vector) for vector in vectors]
                scores[image, k] = 10 * sum(sims) / len(sims) if sims else 0.0
        return scores

    def _vector(
        self, ids: list[int]
    ) -> tuple[list[dict[tuple[int, ...], float]], list[float], int]:
        """The tf-idf weights and their norm for each n, and the length in bigrams."""
        weights: list[dict[tuple[int, ...], float]] = [{} for _ in range(_LONGEST)]
        for gram, count in _ngrams(ids).items():
            idf = self._log_images - math.log(max(1, self._frequencies[gram]))
            weights[len(gram) - 1][gram] = count * idf
        norms = [math.sqrt(sum(w * w for w in each.values())) for each in weights]
        return weights, norms, max(len(ids) - 1, 0)


def read_reward(dataset: Dataset) -> CiderReward:
    """The reward with the document frequencies of a dataset's first training images.

    Raises:
      InputError: the captions of these images are all alike, so every reward would be 0.
    """
    records = dataset.parsed("train", ["caption_ids"], COUNTED_IMAGES)
    reward = CiderReward([ids[1:] for ids in record["caption_ids"].to_list()] for record in records)
    if not reward.can_tell:
        raise InputError(
            f"--objective=self_critical: the training images of {dataset.directory} all have the "
            "same captions, of which CIDEr is 0 by definition: there is nothing to learn from it"
        )
    return reward


def _ngrams(ids: list[int]) -> Ngrams:
    grams: Ngrams = collections.Counter()
    for n in range(1, _LONGEST + 1):
        grams.update(zip(*(ids[start:] for start in range(n)), strict=False))
    return grams


def _similarity(own, reference) -> float:
    (weights, norms, length), (ref_weights, ref_norms, ref_length) = own, reference
    total = 0.0
    for n in range(_LONGEST):
        if norms[n] and ref_norms[n]:
            other = ref_weights[n]
            product = sum(
                min(weight, other[gram]) * other[gram]
                for gram, weight in weights[n].items() if gram in other
            )  # fmt: skip
            total += product / (norms[n] * ref_norms[n])
    return total / _LONGEST * math.exp(-((length - ref_length) ** 2) / (2 * _SIGMA**2))
