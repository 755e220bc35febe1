"""Heaps of the C library: few, so that memory does not grow with the data.

glibc gives threads heaps of their own, up to eight a core, and memory that was given back stays
with its heap. Records are read by one thread and given back by another, so that over a large
dataset every heap comes to hold what one would have needed.
"""

import ctypes
import os

HEAPS = 2
_M_ARENA_MAX = -8  # of glibc's malloc.h


def use_few_heaps() -> None:
    """Bounds the number of heaps of this process; call it before TensorFlow starts threads.

    Nothing is done where the C library has no such setting, or MALLOC_ARENA_MAX is set by the user.
    """
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is not None and "MALLOC_ARENA_MAX" not in os.environ:
        set_option(_M_ARENA_MAX, HEAPS)
