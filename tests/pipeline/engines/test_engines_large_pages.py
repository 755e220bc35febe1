"""A process that starts again with other settings of the C library."""

import subprocess
import sys

import pytest

from pipeline.engines import large_pages

MAIN = """
import os, sys
from pipeline.engines.large_pages import use_large_pages
print(os.getpid(), sys.argv[1:], os.environ.get("GLIBC_TUNABLES"), flush=True)
use_large_pages()
"""


def run(tmp_path, **environment):
    (tmp_path / "some_main.py").write_text(MAIN)
    result = subprocess.run(
        [sys.executable, "-m", "some_main", "--flag=with space", "é"],
        cwd=tmp_path, env={"PATH": "/usr/bin", **environment}, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    return result.stdout.splitlines()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc is Linux's")
def test_the_same_process_starts_once_more_with_the_same_arguments(tmp_path):
    first, second = run(tmp_path)
    assert first.split()[0] == second.split()[0]
    assert "['--flag=with space', 'é'] None" in first
    assert "['--flag=with space', 'é'] glibc.malloc.hugetlb=1:" in second


def test_a_setting_of_the_user_is_left_alone(tmp_path):
    [only] = run(tmp_path, GLIBC_TUNABLES="glibc.malloc.check=0")
    assert only.endswith("glibc.malloc.check=0")


def test_other_systems_are_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    monkeypatch.setattr(large_pages.os, "execv", lambda *_: pytest.fail("started again"))
    large_pages.use_large_pages()
