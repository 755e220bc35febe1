"""The books: every image read was written, rejected, or a repeated mention."""

from pipeline.receipts import Receipt
from pipeline.rejects import CAPTION, DUPLICATE, UNASSIGNED
from tfrecords_schema.errors import InputError
from tfrecords_schema.manifest import Books
from tfrecords_schema.shards import SPLITS


def balance_books(
    read: dict[str, int], receipts: dict[str, list[Receipt]], rejected: dict[tuple[str, str], int]
) -> dict[str, Books]:
    """The books of every split and of `unassigned`.

    Raises:
      RuntimeError: an image is unaccounted for. That is a defect of beamcap, not of the source.
    """
    costs_no_image = (CAPTION, DUPLICATE)
    books = {}
    for split in (*SPLITS, UNASSIGNED):
        lost = sum(
            n for (s, stage), n in rejected.items() if s == split and stage not in costs_no_image
        )
        books[split] = Books(
            read=read.get(split, 0),
            written=sum(receipt.shard["images"] for receipt in receipts.get(split, [])),
            rejected=lost,
            duplicates=rejected.get((split, DUPLICATE), 0),
        )
        if not books[split].balance():
            raise RuntimeError(f"images of split {split} do not add up: {books[split]}")
    return books


def check_rejected(books: dict[str, Books], max_rejected: float, table: str) -> None:
    """Raises InputError past `max_rejected`. Images that no split wants do not count."""
    read = sum(books[split].read for split in SPLITS)
    lost = sum(books[split].rejected for split in SPLITS)
    if lost and lost / read > max_rejected:  # a product would be rounded: 0.29 * 100 < 29
        raise InputError(
            f"{lost} of {read} images were rejected, more than --max_rejected="
            f"{max_rejected} allows; the reasons are in {table}. Run again with a higher "
            "--max_rejected (what is done is kept), or mend the images and add --retry_rejected"
        )
