"""Image counts: every image read was written, rejected, or a repeated mention."""

from pipeline.accounting.reasons import frequent_reason
from pipeline.accounting.receipts import Receipt
from pipeline.accounting.rejects import CAPTION, DUPLICATE, UNASSIGNED
from tfrecords_schema.errors import InputError
from tfrecords_schema.manifest import ImageCounts
from tfrecords_schema.shards import SPLITS


def count_images(
    read: dict[str, int], receipts: dict[str, list[Receipt]], rejected: dict[tuple[str, str], int]
) -> dict[str, ImageCounts]:
    """The image counts of every split and of `unassigned`.

    Raises:
      RuntimeError: the counts do not add up, which is a defect of beamcap, not of the source.
    """
    costs_no_image = (CAPTION, DUPLICATE)
    counts = {}
    for split in (*SPLITS, UNASSIGNED):
        lost = sum(
            n for (s, stage), n in rejected.items() if s == split and stage not in costs_no_image
        )
        counts[split] = ImageCounts(
            read=read.get(split, 0),
            written=sum(receipt.shard["images"] for receipt in receipts.get(split, [])),
            rejected=lost,
            duplicates=rejected.get((split, DUPLICATE), 0),
        )
        if not counts[split].add_up():
            raise RuntimeError(f"images of split {split} do not add up: {counts[split]}")
    return counts


def images_lost(rejected: dict[tuple[str, str], int]) -> int:
    """The number of rejects, counted by (split, stage), that cost an image of a split."""
    stages = (CAPTION, DUPLICATE)
    return sum(n for (s, stage), n in rejected.items() if s in SPLITS and stage not in stages)


def check_captions(read: int, written: int, rejected: int, lost: int) -> None:
    """Checks that every caption read was written, rejected, or lost with its image.

    Raises:
      RuntimeError: the counts do not add up, which is a defect of beamcap, not of the source.
    """
    if read != written + rejected + lost:
        raise RuntimeError(
            f"captions do not add up: {read} read, {written} written, {rejected} rejected, {lost} "
            "of rejected images"
        )


def check_rejected(lost: int, read: int, what: str, max_rejected: float, table: str) -> None:
    """Raises InputError if more than `max_rejected` were rejected.

    Args:
      lost: number of rejected images or captions. Images in no split do not count.
      read: number of images or captions read.
      what: `images` or `captions`.
      max_rejected: the largest fraction that may be rejected.
      table: path of the rejects table.
    """
    if lost and lost / read > max_rejected:  # a product would have rounding: 0.29 * 100 < 29
        reason = frequent_reason(table, of_captions=what == "captions")
        retry = ", or mend the images and add --retry_rejected" if what == "images" else ""
        raise InputError(
            f"{lost} of {read} {what} were rejected, more than --max_rejected={max_rejected} "
            f"allows. {reason}. Run again with a higher --max_rejected (what is done is kept)"
            f"{retry}"
        )
