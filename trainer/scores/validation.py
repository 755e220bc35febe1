"""What a model is chosen by: after each epoch it captions the validation split, or a part of it.

CIDEr of the captions that it writes by itself comes first. Of equal CIDEr the lower loss is better,
which alone decides where CIDEr is 0 in all epochs: by definition, since the split has one image or
references that are all alike, or because no caption has a word in common with its references that
tells images apart. So a model is never kept for nothing.
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
    """What one validation found."""

    cider: float  # 0 to 1000; of greedy captions
    loss: float  # cross-entropy of the references, nats a word, of labels that are not smoothed
    distinct_captions: int
    remark: str = ""  # where those are too few


class Validation:
    """Greedy CIDEr and the loss on the validation split, or on the first images of a large one.

    They are a fair sample: which shard an image is in is a hash of its name.
    """

    def __init__(
        self,
        config: TrainConfig,
        dataset: Dataset,
        model: Captioner,
        show_progress: bool = False,
    ):
        """References are read and tokenized once.

        Raises:
          InputError: the split is not what the manifest counts, or has no words.
        """
        images = config.validation_images
        self._data = dataset.directory
        self._references = read_split_references(dataset, "validation", images).tokenized
        search = SearchConfig(1, config.max_words, 0.0, config.jit_compile)
        self._caption = SplitCaptioner(model, dataset, "validation", search, images, show_progress)

    def __call__(self) -> Validated:
        """Captions the images and scores what it wrote."""
        captions, loss = self._caption()
        cider = score_cider(self._references, captions)
        remark = of_few_captions(captions, self._references)
        return Validated(cider, loss, count_distinct(captions), remark)

    def what_decides(self) -> str:
        """A line where CIDEr cannot tell models apart; else empty."""
        if cider_can_tell(self._references):
            return ""
        images = len(self._references.captions)
        reason = "1 image" if images == 1 else f"the same captions for all of its {images} images"
        return (
            f"--data: CIDEr is 0 by definition on the validation split of {self._data}, which has "
            f"{reason}: the model is chosen by the validation loss"
        )


def is_better(cider: float, loss: float, best_cider: float, best_loss: float) -> bool:
    """Whether a model is better than the best one until now: by CIDEr, then by a lower loss."""
    return (cider, -loss) > (best_cider, -best_loss)


def best_epoch(rows: Sequence[Mapping[str, float]]) -> Mapping[str, float]:
    """The row of the epoch whose weights are kept: the first one that no other is better than."""
    return max(rows, key=lambda row: (row["validation_cider"], -row["validation_loss"]))
