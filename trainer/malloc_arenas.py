"""Few malloc arenas, so that memory does not grow with the data.

glibc gives threads arenas of their own, up to eight a core, and memory that was freed stays with
its arena. One thread reads a record and another frees it, so that over a large dataset every arena
grows to what one would have needed.
"""

import ctypes
import os

ARENAS = 2
_M_ARENA_MAX = -8  # of glibc's malloc.h


def use_few_arenas() -> None:
    """Bounds the number of arenas of this process; call it before TensorFlow starts threads.

    Nothing is done where the C library has no such setting, or MALLOC_ARENA_MAX is set by the user.
    """
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is not None and "MALLOC_ARENA_MAX" not in os.environ:
        set_option(_M_ARENA_MAX, ARENAS)
