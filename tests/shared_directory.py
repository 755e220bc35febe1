"""A directory that is made once and read by all test processes."""

import fcntl
import os
from pathlib import Path


def made_once(tmp_path_factory, name, make):
    """The directory `name`, which the first process that asks for it has had made by `make(path)`.

    The others wait meanwhile. Nobody may write to it afterwards: tests that do take a copy.
    """
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent  # above the directory that each process has of its own
    with open(root / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not Path(f"{root / name}.made").exists():
            make(str(root / name))
            Path(f"{root / name}.made").touch()
    return str(root / name)
