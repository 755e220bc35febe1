"""The settings of beam search, for the commands, Python and the export."""

import dataclasses

from tfrecords_schema.flags import check_flags, flag

_GROUP = "search"


@dataclasses.dataclass(frozen=True)
class SearchConfig:
    """The settings of beam search, for the commands and for Python.

    Raises:
      InputError: a value is invalid; the message names the flag.
    """

    beam_width: int = flag(5, help="beams; 1 is greedy search", group=_GROUP, least=1)
    max_words: int = flag(
        30, help="words of the longest caption", group=_GROUP, least=1
    )  # 99.9 % of Flickr8k's captions are shorter
    length_penalty: float = flag(
        1.0,
        help="0 compares log probabilities, more prefers longer captions (Wu et al. 2016, "
        "equation 14); 1.25 for a run of the recipe transformer",
        group=_GROUP,
        least=0,
    )
    jit_compile: bool = flag(
        False,
        help="XLA compiles the search; not for transformer, whose keys grow with the words",
        group=_GROUP,
    )

    def __post_init__(self) -> None:
        """Checks all values."""
        check_flags(self)


DEFAULT_SEARCH = SearchConfig()
