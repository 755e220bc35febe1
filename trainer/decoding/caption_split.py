"""Captions a split with a trained model, and computes the loss of its references."""

from typing import NamedTuple

import tensorflow as tf
from tqdm import tqdm

from tfrecords_schema.characters import join_characters
from tfrecords_schema.dataset import Dataset
from trainer.data.batches import evaluation_dataset
from trainer.data.shard_counts import find_miscount
from trainer.decoding.beam_search import search_captions
from trainer.decoding.search_config import SearchConfig
from trainer.layers.model_input import as_model_input
from trainer.layers.packing import pack_captions
from trainer.layers.smoothed_cross_entropy import cross_entropy_sum
from trainer.models.captioner import Captioner
from trainer.models.with_encoder import WithEncoder

BATCH = 32  # images


class CaptionedSplit(NamedTuple):
    """A model's captions of a split, and its loss there."""

    captions: dict[str, str]  # by image_id; words separated by spaces where their script has them
    loss: float  # cross-entropy of the references, in nats a word, without label smoothing


class SplitCaptioner:
    """Captions the images of one split. The graph is compiled once and used every epoch."""

    def __init__(
        self,
        model: Captioner,
        dataset: Dataset,
        split: str,
        search: SearchConfig,
        images: int = -1,
        show_progress: bool = False,
    ):
        """Captions the first `images` of a split of the dataset, or all of them (-1)."""
        self._dataset, self._split, self._show_progress = dataset, split, show_progress
        self._join = join_characters if dataset.has_characters else str
        self._batches = evaluation_dataset(dataset, split, BATCH, images)
        in_split = dataset.images(split)
        self._images = in_split if images < 0 else min(images, in_split)

        @tf.function(autograph=False, input_signature=[self._batches.element_spec])
        def examine(batch: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            regions, captioner = as_model_input(batch["image_features"]), model
            if isinstance(model, WithEncoder):  # the CNN runs once an image, for search and loss
                regions, captioner = model.regions(regions), model.captioner
            ids_BWT = search_captions(captioner, regions, search).ids_BWT
            references_BKT = batch["caption_ids"]
            packed = pack_captions(references_BKT)
            logits_PV = captioner.teacher_force(regions, packed, None).logits_PV
            words_B = tf.math.count_nonzero(references_BKT[:, :, 1:], axis=[1, 2])
            return ids_BWT, cross_entropy_sum(logits_PV, packed.labels_P), words_B

        self._examine = examine

    def __call__(self) -> CaptionedSplit:
        """The best caption of each image, and the loss of its references.

        Raises:
          InputError: an image has no captions, so it has no loss.
        """
        captions, loss_sum, words = {}, 0.0, 0
        bar = tqdm(
            total=self._images, unit=" images", desc=f"captions {self._split}", leave=False,
            disable=None if self._show_progress else True,  # None: unless on a terminal
        )  # fmt: skip
        with bar:
            for batch in self._batches:
                ids_BWT, losses, words_B = (x.numpy() for x in self._examine(batch))
                loss_sum, words = loss_sum + float(losses), words + int(words_B.sum())
                rows = zip(batch["image_id"].numpy(), ids_BWT, words_B, strict=True)
                for image_id, beams, words_of_image in rows:
                    if not image_id:
                        continue  # padding
                    if not words_of_image:
                        raise find_miscount(self._dataset, self._split)
                    text = " ".join(self._dataset.vocabulary.words(beams[0]))
                    captions[image_id.decode()] = self._join(text)
                    bar.update()
        return CaptionedSplit(captions, loss_sum / words)
