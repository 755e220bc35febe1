"""Peak memory of a worker that encodes images, by number of pictures and by shard size.

    .venv/bin/python benchmarks/worker_memory.py PICTURES COUNT ... [-- FLAGS OF THE PIPELINE]

PICTURES is a directory of images; where COUNT is more than it has they come again under other
names. One worker process beside the launcher, whose own memory holds what the local engine
shuffles: names and captions, never pixels.
"""

import json
import os
import subprocess
import sys
import tempfile
import time

from text_rows import family, peak_mb


def measure(pictures: str, count: int, flags: list[str]) -> None:
    names = sorted(os.listdir(pictures))
    with tempfile.TemporaryDirectory() as folder:
        table, out = os.path.join(folder, "rows.jsonl"), os.path.join(folder, "data")
        with open(table, "w") as file:
            for i in range(count):
                row = {"id": str(i), "image": names[i % len(names)], "caption": "A dog runs ."}
                file.write(json.dumps(row) + "\n")
        command = [
            sys.executable, "-m", "pipeline", "--source=table", f"--input={table}",
            f"--image_directory={os.path.abspath(pictures)}", "--id_column=id", f"--output={out}",
            "--encoder_weights=random", "--direct_running_mode=multi_processing",
            "--direct_num_workers=1", *flags,
        ]  # fmt: skip
        start, launcher, worker = time.monotonic(), 0.0, 0.0
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        while process.poll() is None:
            for pid in family(process.pid):
                _, peak = peak_mb(pid)
                if pid == process.pid:
                    launcher = max(launcher, peak)
                else:
                    worker = max(worker, peak)
            time.sleep(0.25)
        if process.returncode:
            sys.exit(f"the pipeline failed with status {process.returncode}")
    print(
        f"{count:>9,} {time.monotonic() - start:>8.0f} {launcher:>12.0f} {worker:>10.0f}",
        flush=True,
    )


def main() -> None:
    pictures, *arguments = sys.argv[1:]
    at = arguments.index("--") if "--" in arguments else len(arguments)
    print(" pictures  seconds  launcher MB  worker MB")
    for count in arguments[:at]:
        measure(pictures, int(count), arguments[at + 1 :])


if __name__ == "__main__":
    main()
