import ctypes
import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "malloc_info"), reason="the C library is not glibc"
)

SCRIPT = """
import ctypes, re, sys, threading
from trainer.malloc_arenas import use_few_arenas
if {called}:
    use_few_arenas()
c = ctypes.CDLL(None)
c.malloc.restype = ctypes.c_void_p
ready = threading.Barrier(8)
def allocate():
    ready.wait()  # all at once, or they take turns with one heap
    for _ in range(100):
        c.malloc(1000)
    ready.wait()
threads = [threading.Thread(target=allocate) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
c.fopen.restype = ctypes.c_void_p
file = ctypes.c_void_p(c.fopen(sys.argv[1].encode(), b"w"))
c.malloc_info(0, file)
c.fclose(file)
print(len(re.findall("<heap nr", open(sys.argv[1]).read())))
"""


def arenas(tmp_path, called, **environment):
    """How many a process of several threads has."""
    command = [sys.executable, "-c", SCRIPT.format(called=called), str(tmp_path / "info.xml")]
    return int(subprocess.check_output(command, env=os.environ | environment))


def test_threads_share_few_arenas(tmp_path):
    assert arenas(tmp_path, False) > 2
    assert arenas(tmp_path, True) <= 2


def test_a_users_setting_is_left_alone(tmp_path):
    assert arenas(tmp_path, True, MALLOC_ARENA_MAX="5") > 2
