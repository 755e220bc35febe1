"""Limits malloc arenas, so that memory does not grow with the data.

glibc gives threads their own arenas, up to eight a core, and freed memory stays in its arena. One
thread reads a record and another frees it. So over a large dataset every arena would grow to the
size that a single arena needs.
"""

import ctypes
import os

ARENAS = 2
_M_ARENA_MAX = -8  # from glibc's malloc.h


def use_few_arenas() -> None:
    """Limits the number of arenas of this process; call it before TensorFlow starts threads.

    It does nothing if the C library has no such setting, or if the user has set MALLOC_ARENA_MAX.
    """
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is not None and "MALLOC_ARENA_MAX" not in os.environ:
        set_option(_M_ARENA_MAX, ARENAS)
