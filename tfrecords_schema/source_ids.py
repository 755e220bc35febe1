"""Image ids as the source has them, where those are integers.

Records hold every id as text. COCO's tools look an image up in the source's own annotations, where
its id is an integer. The text ends in that integer:

    391895                              an image of COCO, or an integer in a table
    val2014/391895                      the same where two annotation files number alike
    COCO_val2014_000000391895.jpg       the same in Karpathy's file, which calls it `cocoid`

The pipeline compares the two for every image and the manifest says whether they agree, so that
nothing but the text has to be stored.
"""

import re
from collections.abc import Collection

# An id of more digits stays a text. A minus counts at the beginning of a name alone.
_NUMBER = re.compile(r"((?:^|(?<=/))-)?(?<![0-9])([0-9]{1,40})(?:\.[A-Za-z]+)?\Z")


def number_of(image_id: str) -> int | None:
    """The integer that an image's id ends in, before the suffix of a file; None where in none."""
    found = _NUMBER.search(image_id)
    return int((found[1] or "") + found[2]) if found else None


def ids_in_source(image_ids: Collection[str], integer_ids: bool) -> dict[str, int | str]:
    """Id in the records -> id in the source, for the images of one split.

    Args:
      image_ids: of the records, each once.
      integer_ids: what the manifest says.

    Returns:
      Each id as it is where the manifest says that they are texts. The same where one number
      may be that of two images: the ids begin in several folders, or two of them end alike.
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
