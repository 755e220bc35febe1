"""Memory, start and rate of the pipeline with large networks.

    .venv/bin/python benchmarks/encoder_memory.py PICTURES COUNT ENCODER ...

PICTURES is a directory of images, of which COUNT are encoded with `--features=pooled` and random
weights, twice: by one process, which builds the network too, and by a worker beside the launcher.
Memory is the peak that the kernel tells of (VmHWM). The start is from before the encoder is loaded
to the first features of a batch, alone in a process; the rate is that of the shards, with reading,
decoding and writing.
"""

import json
import os
import subprocess
import sys
import tempfile
import time

from text_rows import family, peak_mb

WORKER = """
import json, os, sys, time
from tfrecords_schema.start_tensorflow import start_tensorflow
start_tensorflow()
import tensorflow as tf
from pipeline.shards.encode_images import start_machine
with open(os.path.join(sys.argv[1], "manifest.json")) as file:
    side = json.load(file)["encoder"]["image_size"]
start = time.monotonic()
machine = start_machine(os.path.join(sys.argv[1], "image_encoder"), os.cpu_count(), "")
machine.encoder.encode(tf.zeros([machine.batch, side, side, 3]))
print(time.monotonic() - start)
"""


def run_pipeline(
    table: str, pictures: str, out: str, encoder: str, flags: list[str]
) -> list[float]:
    """Peaks in MB, largest first, of the launcher and of all processes below it."""
    command = [
        sys.executable, "-m", "pipeline", "--source=table", f"--input={table}",
        f"--image_directory={os.path.abspath(pictures)}", f"--output={out}", "--min_count=1",
        f"--encoder={encoder}", "--encoder_weights=random", "--features=pooled", *flags,
    ]  # fmt: skip
    peaks: dict[int, float] = {}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while process.poll() is None:
        for pid in family(process.pid):
            peaks[pid] = max(peaks.get(pid, 0.0), peak_mb(pid)[1])
        time.sleep(0.25)
    if process.returncode:
        sys.exit(f"the pipeline failed with status {process.returncode}")
    launcher = peaks.pop(process.pid)
    return [launcher, *sorted(peaks.values(), reverse=True)]


def measure(pictures: str, count: int, encoder: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        table, one, two = (os.path.join(folder, name) for name in ("rows.jsonl", "one", "two"))
        with open(table, "w") as file:
            for name in sorted(os.listdir(pictures))[:count]:
                row = {"image": name, "caption": "A dog runs .", "split": "train"}
                file.write(json.dumps(row) + "\n")
        [together, *_] = run_pipeline(table, pictures, one, encoder, [])
        flags = ["--direct_running_mode=multi_processing", "--direct_num_workers=1"]
        [_, worker, *_] = run_pipeline(table, pictures, two, encoder, flags)
        with open(os.path.join(one, "report.json")) as file:
            rate = json.load(file)["images_per_second"]
        weights = os.path.join(one, "image_encoder", "variables", "variables.data-00000-of-00001")
        size = os.path.getsize(weights) / 2**20
        start = subprocess.run(
            [sys.executable, "-c", WORKER, one], check=True, capture_output=True, text=True
        ).stdout
    cells = [f"{encoder:<16}", f"{size:>10.0f}", f"{1024 + 3 * size:>10.0f}", f"{together:>10.0f}"]
    print(*cells, f"{worker:>10.0f}", f"{float(start):>8.1f}", f"{rate:>10.1f}", flush=True)


def main() -> None:
    pictures, count, *encoders = sys.argv[1:]
    print("encoder          weights MB   bound MB   one process     worker  start s   images/s")
    for encoder in encoders:
        measure(pictures, int(count), encoder)


if __name__ == "__main__":
    main()
