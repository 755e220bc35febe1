"""How many different captions a model writes: one that does not look writes the same for all."""

from collections.abc import Mapping

from trainer.scores.metrics import References

FEW = 0.05  # of as many as the images' first references; a model that looks writes a third or more
LEAST_DIFFERENT = 5  # first references, for one caption for all to be a sign of anything
ADVICE = (
    "For captions that tell images apart, try more --epochs, or a new run with a lower or higher "
    "--learning_rate, or with --word_dropout=0.2, which hides words that the model reads so that "
    "the image must tell."
)


def count_distinct(captions: Mapping[str, str]) -> int:
    """How many different captions there are."""
    return len(set(captions.values()))


def say_distinct(captions: Mapping[str, str]) -> str:
    """The number of different captions, in words."""
    found = set(captions.values())
    if len(found) > 1:
        return f"{len(found)} different captions"
    return "1 caption" if "".join(found) else "no word"


def of_few_captions(captions: Mapping[str, str], references: References) -> str:
    """What to say of a model whose captions are few for its images; empty where they are not.

    Images may well be of few kinds, as drawn ones are. So captions are compared with what people
    wrote of the same images: as many as the different ones among the first reference of each.

    Args:
      captions: image_id -> the caption of the model.
      references: of the same images.
    """
    distinct = count_distinct(captions)
    different = len({texts[0] for texts in references.captions.values()})
    if different < LEAST_DIFFERENT or distinct >= max(2, FEW * different):
        return ""
    looks = "does not look" if distinct == 1 else "hardly looks"
    return f"{len(captions)} images, {say_distinct(captions)}: the model {looks} at the image."
