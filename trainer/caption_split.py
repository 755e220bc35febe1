"""Captions for a split of a dataset, by the trained model."""

import tensorflow as tf
from tqdm import tqdm

from tfrecords_schema.characters import join_characters, of_characters
from tfrecords_schema.manifest import Manifest
from tfrecords_schema.vocabulary import Vocabulary
from trainer.dataset import evaluation_dataset
from trainer.decode import MAX_WORDS, search_captions
from trainer.model_input import as_model_input
from trainer.models.captioner import Captioner

BATCH = 32  # images


class SplitCaptioner:
    """Captions the images of one split. Compiled once, used after every epoch."""

    def __init__(
        self,
        model: Captioner,
        vocabulary: Vocabulary,
        data: str,
        manifest: Manifest,
        split: str,
        beam_width: int = 1,
        max_words: int = MAX_WORDS,
        length_penalty: float = 0.0,
        jit_compile: bool = False,
        images: int = -1,
    ):
        """Captions the first `images` of `split` of the dataset at `data`, or all of them (-1); see
        `search_captions` for the rest.
        """
        self._vocabulary, self._split = vocabulary, split
        self._join = join_characters if of_characters(manifest.config) else str
        self._batches = evaluation_dataset(data, manifest, split, BATCH, images)
        in_split = manifest.images(split)
        self._images = in_split if images < 0 else min(images, in_split)

        @tf.function(autograph=False)
        def search(features: tf.Tensor) -> tf.Tensor:
            regions = as_model_input(features)
            return search_captions(
                model, regions, beam_width, max_words, length_penalty, jit_compile
            ).ids_BWT

        self._search = search

    def __call__(self) -> dict[str, str]:
        """image_id -> the best caption, words separated by spaces where their script has them."""
        captions = {}
        bar = tqdm(
            total=self._images, unit=" images", desc=f"captions {self._split}", leave=False,
            disable=None,  # where no one looks on
        )  # fmt: skip
        with bar:
            for batch in self._batches:
                ids_BWT = self._search(batch["image_features"]).numpy()
                for image_id, beams in zip(batch["image_id"].numpy(), ids_BWT, strict=True):
                    if image_id:  # not padding
                        words = self._vocabulary.words(beams[0])
                        captions[image_id.decode()] = self._join(" ".join(words))
                        bar.update()
        return captions
