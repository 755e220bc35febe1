"""Peak memory of every process while N rows of captions go through the pipeline as text.

    .venv/bin/python benchmarks/text_rows.py 100000 1000000 [-- flags of the pipeline or of Beam]

Five rows an image, about ten words a row from a vocabulary of 20,000. `engine` is the process that
was started: launcher and, on a local runner, the engine itself. `worker` is the largest of the
Python processes below it, `java` the largest Java one. Peaks are those of the kernel (VmHWM),
read four times a second. Anonymous memory alone is counted nowhere: shared pages are in each.
"""

import itertools
import os
import random
import subprocess
import sys
import tempfile
import time

WORDS = [f"word{i}" for i in range(20_000)]
CUMULATIVE = list(itertools.accumulate(1 / (i + 1) for i in range(len(WORDS))))  # Zipf's law


def write_table(path: str, rows: int) -> None:
    rng = random.Random(0)
    with open(path, "w") as file:
        file.write("image,caption\n")
        for i in range(rows):
            words = " ".join(rng.choices(WORDS, cum_weights=CUMULATIVE, k=9))
            file.write(f"{i // 5:09d}.jpg,A {words} .\n")


def family(root: int) -> dict[int, int]:
    """Every process from `root` down, and its parent."""
    parents = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat") as file:
                    parents[int(name)] = int(file.read().rpartition(")")[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
    found = {root: 0}
    while True:
        new = {pid: p for pid, p in parents.items() if p in found and pid not in found}
        if not new:
            return found
        found |= new


def peak_mb(pid: int) -> tuple[str, float]:
    """(name of the program, its peak resident memory) of a process that may be gone."""
    try:
        with open(f"/proc/{pid}/status") as file:
            fields = dict(line.split(":", 1) for line in file)
        return fields["Name"].strip(), int(fields["VmHWM"].split()[0]) / 1024
    except (FileNotFoundError, ProcessLookupError, KeyError):
        return "", 0.0


def measure(rows: int, flags: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        table, out = os.path.join(folder, "rows.csv"), os.path.join(folder, "data")
        write_table(table, rows)
        command = [
            sys.executable, "-m", "pipeline", "--source=table", f"--input={table}",
            f"--output={out}", "--features=none", "--images_per_shard=8192", *flags,
        ]  # fmt: skip
        start, peaks = time.monotonic(), {"engine": 0.0, "worker": 0.0, "java": 0.0}
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        while process.poll() is None:
            for pid in family(process.pid):
                name, peak = peak_mb(pid)
                kind = "java" if name == "java" else "worker" if pid != process.pid else "engine"
                peaks[kind] = max(peaks[kind], peak)
            time.sleep(0.25)
        seconds = time.monotonic() - start
        if process.returncode:
            sys.exit(f"the pipeline failed with status {process.returncode}")
        size = os.path.getsize(table) / 2**20
    cells = [f"{rows:>12,}", f"{size:>10.0f}", f"{seconds:>8.0f}"]
    print(*cells, *(f"{peak:>10.0f}" for peak in peaks.values()), flush=True)


def main() -> None:
    arguments = sys.argv[1:]
    at = arguments.index("--") if "--" in arguments else len(arguments)
    print("        rows   table MB  seconds  engine MB  worker MB    java MB")
    for rows in arguments[:at]:
        measure(int(rows), arguments[at + 1 :])


if __name__ == "__main__":
    main()
