"""The names of splits in data sets, and in what they occur: a column, a file name, a folder.

train-00000-of-00001.parquet   captions_val2014.json   dev/metadata.csv   restval
"""

import re
from collections.abc import Mapping, Sequence

from tfrecords_schema.errors import InputError

SPLIT_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "val", "valid", "dev", "eval"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
    "restval": "train",  # in Karpathy's splits: images of COCO's validation set for training
}
BY_NAME = "the names of its files or folders"
_WORD = r"[^\W\d_]+"
_WAYS_OUT = "--split_fractions=0.8,0.1,0.1 splits by hash instead"


def make_split_names(restval: str, given: Mapping[str, str] | None) -> dict[str, str]:
    """Maps names, in lower case, to train, validation, test or LEAVE_OUT.

    Args:
      restval: the split for `restval`.
      given: the value of --split_names, which overrides the others.
    """
    given = {name.lower(): split for name, split in (given or {}).items()}
    return SPLIT_NAMES | {"restval": restval} | given


def known_names(names: Mapping[str, str]) -> str:
    """The known names of splits, for a message."""
    return f"{', '.join(names)}; --split_names=NAME=train takes another name"


def split_of_path(path: str, names: Mapping[str, str]) -> str:
    """The split that a word of the file's name, or else its folder's whole name, stands for, or "".

    A word is a run of letters: `val` in val2014.json. The name up to its first dot may also be in
    `names` as a whole, including digits.

    Raises:
      InputError: a name stands for two splits.
    """
    *_, folder, name = ["", *path.split("/")]
    stem, _, suffixes = name.lower().partition(".")
    words = [stem] if stem in names else re.findall(_WORD, stem)
    words += re.findall(_WORD, suffixes)
    splits = sorted({names[word] for word in words if word in names})
    if len(splits) > 1:
        raise InputError(
            f"--input: {path}: {name} names the splits {' and '.join(splits)}; {_WAYS_OUT}"
        )
    return splits[0] if splits else names.get(folder.lower(), "")


def splits_of_paths(paths: Sequence[str], names: Mapping[str, str]) -> list[str]:
    """The split of each path; all are "" if no path names one.

    Raises:
      InputError: some paths name a split and others none, or one names two.
    """
    splits = [split_of_path(path, names) for path in paths]
    if "" in splits and any(splits):
        named, other = paths[next(i for i, s in enumerate(splits) if s)], paths[splits.index("")]
        raise InputError(
            f"--input: {named} names a split and {other} none: name the split of every file or "
            f"folder, as in train-000000, or of none; {_WAYS_OUT}"
        )
    return splits
