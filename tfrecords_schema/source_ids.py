"""Integer image ids of the source, recovered from their text.

Records hold every id as text. COCO's tools look an image up in the source's own annotations, where
its id is an integer. The text ends in that integer:

    391895                              an image of COCO, or an integer in a table
    val2014/391895                      the same if two annotation files share numbers
    COCO_val2014_000000391895.jpg       the same in Karpathy's file, which calls it `cocoid`

The pipeline compares the text with the integer for every image, and the manifest records whether
they agree. So only the text is stored.
"""

import re
from collections.abc import Collection

# A longer number stays text. A minus sign counts only at the start of a name.
_NUMBER = re.compile(r"((?:^|(?<=/))-)?(?<![0-9])([0-9]{1,40})(?:\.[A-Za-z]+)?\Z")


def number_of(image_id: str) -> int | None:
    """The integer at the end of an image's id, before a file suffix; None if there is none."""
    found = _NUMBER.search(image_id)
    return int((found[1] or "") + found[2]) if found else None


def ids_in_source(image_ids: Collection[str], integer_ids: bool) -> dict[str, int | str]:
    """Maps ids in the records to ids in the source, for the images of one split.

    Args:
      image_ids: the ids in the records, without repeats.
      integer_ids: the manifest's `integer_ids`.

    Returns:
      Integers. The unchanged texts if the manifest says so, or if a number could be ambiguous:
      the ids are in several folders, or two of them end in the same number.
    """
    texts: dict[str, int | str] = {image_id: image_id for image_id in image_ids}
    if not integer_ids:
        return texts
    numbers = {image_id: number_of(image_id) for image_id in image_ids}
    integers = {image_id: n for image_id, n in numbers.items() if n is not None}
    folders = {image_id.rpartition("/")[0] for image_id in integers}
    if len(folders) > 1 or len(set(integers.values())) < len(integers):
        return texts
    return texts | integers
