"""Validation: each epoch the model captions the validation split, or a part of it, and is scored.

The model with the highest CIDEr of greedy captions is kept; for equal CIDEr, the one with the lower
loss. The loss alone decides if CIDEr is 0 in all epochs. That is so by definition if the split has
one image or equal references for all images, or else if no caption shares a rare enough word with
its references. So there is always a best model.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tfrecords_schema.dataset import Dataset
from trainer.config import TrainConfig
from trainer.decoding.caption_split import SplitCaptioner
from trainer.decoding.search_config import SearchConfig
from trainer.models.captioner import Captioner
from trainer.scores.distinct_captions import count_distinct, of_few_captions
from trainer.scores.metrics import cider_can_tell, score_cider
from trainer.scores.references import read_split_references


class Validated(NamedTuple):
    """The result of one validation."""

    cider: float  # 0 to 1000; of greedy captions
    loss: float  # cross-entropy of the references, in nats a word, without label smoothing
    distinct_captions: int
    remark: str = ""  # not empty if there are too few distinct captions


class Validation:
    """Greedy CIDEr and the loss on the validation split, or on the first images of a large one.

    The first images are a fair sample, since a hash of its name decides an image's shard.
    """

    def __init__(
        self,
        config: TrainConfig,
        dataset: Dataset,
        model: Captioner,
        show_progress: bool = False,
    ):
        """Reads and tokenizes the references once.

        Raises:
          InputError: the split's counts differ from the manifest's, or it has no words.
        """
        images = config.validation_images
        self._data = dataset.directory
        self._references = read_split_references(dataset, "validation", images).tokenized
        search = SearchConfig(1, config.max_words, 0.0, config.jit_compile)
        self._caption = SplitCaptioner(model, dataset, "validation", search, images, show_progress)

    def __call__(self) -> Validated:
        """Captions the images, and scores the captions."""
        captions, loss = self._caption()
        cider = score_cider(self._references, captions)
        remark = of_few_captions(captions, self._references)
        return Validated(cider, loss, count_distinct(captions), remark)

    def what_decides(self) -> str:
        """A message if CIDEr cannot tell models apart; else empty."""
        if cider_can_tell(self._references):
            return ""
        images = len(self._references.captions)
        reason = "1 image" if images == 1 else f"the same captions for all of its {images} images"
        return (
            f"--data: CIDEr is 0 by definition on the validation split of {self._data}, which has "
            f"{reason}: the model is chosen by the validation loss"
        )


def is_better(cider: float, loss: float, best_cider: float, best_loss: float) -> bool:
    """Whether a model is better than the best one so far: by CIDEr, then by a lower loss."""
    return (cider, -loss) > (best_cider, -best_loss)


def best_epoch(rows: Sequence[Mapping[str, float]]) -> Mapping[str, float]:
    """The row of the best epoch, whose weights are kept; the first of equal ones."""
    return max(rows, key=lambda row: (row["validation_cider"], -row["validation_loss"]))
