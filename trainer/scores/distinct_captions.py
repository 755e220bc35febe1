"""Counts distinct captions: a model that ignores the image writes the same caption for all."""

from collections.abc import Mapping

from trainer.scores.metrics import References

FEW = 0.05  # of the distinct first references; a model that uses the image reaches a third or more
LEAST_DIFFERENT = 5  # distinct first references; with fewer, one caption for all may be right
ADVICE = (
    "For captions that tell images apart, try more --epochs, or a new run with a lower or higher "
    "--learning_rate, or with --word_dropout=0.2, which hides words that the model reads so that "
    "the image must tell."
)


def count_distinct(captions: Mapping[str, str]) -> int:
    """The number of distinct captions."""
    return len(set(captions.values()))


def say_distinct(captions: Mapping[str, str]) -> str:
    """The number of distinct captions, in words."""
    found = set(captions.values())
    if len(found) > 1:
        return f"{len(found)} different captions"
    return "1 caption" if "".join(found) else "no word"


def of_few_captions(captions: Mapping[str, str], references: References) -> str:
    """A remark on a model that writes few distinct captions; empty if there are enough.

    The images themselves may be of few kinds, such as drawn ones. So the captions are compared
    with the distinct ones among the first references of the same images.

    Args:
      captions: image_id -> the caption of the model.
      references: the references of the same images.
    """
    distinct = count_distinct(captions)
    different = len({texts[0] for texts in references.captions.values()})
    if different < LEAST_DIFFERENT or distinct >= max(2, FEW * different):
        return ""
    looks = "does not look" if distinct == 1 else "hardly looks"
    return f"{len(captions)} images, {say_distinct(captions)}: the model {looks} at the image."
