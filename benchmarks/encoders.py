"""The whole pipeline beside its CNN alone, in turns: images/s and ratios.

    .venv/bin/python benchmarks/encoders.py FLICKR8K [ENCODER=IMAGES ...]

FLICKR8K is the data set in its text layout. Each round runs, one after the other and each in
processes of its own: the peers of `encoder_peers.py`, and `python -m pipeline` from files to
committed shards, in float32 and in bfloat16. `command` is the same run with all that comes before
and after: starting Python, saving and loading the encoder, counting words. Weights are random,
which changes no speed. IMAGES is how many pictures the pipeline is given.
"""

import glob
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PEERS = ("keras", "frozen", "bfloat16", "tutorial")
PRECISIONS = ("float32", "bfloat16")
ROUNDS = int(os.environ.get("ROUNDS", 3))
DEFAULT = {"mobilenet_v2": 7000, "resnet50": 2000, "vgg16": 1500}


def main(flickr8k, encoders):
    for encoder, count in encoders.items():
        rates = {}
        for _ in range(ROUNDS):
            for peer in PEERS:
                rates.setdefault(peer, []).append(peer_rate(peer, encoder, flickr8k))
            for precision in PRECISIONS:
                rate, command = pipeline_rates(encoder, precision, flickr8k, count)
                rates.setdefault(f"pipeline {precision}", []).append(rate)
                rates.setdefault(f"command {precision}", []).append(command)
            print(
                encoder, {name: round(values[-1], 1) for name, values in rates.items()}, flush=True
            )
        print(f"\n{encoder}, {count} pictures, {ROUNDS} rounds: median (least to most)")
        for name, values in rates.items():
            median = statistics.median(values)
            print(f"  {name:20} {median:7.1f} ({min(values):.1f} to {max(values):.1f})")
        for name, peer in (
            ("pipeline float32", "frozen"),
            ("pipeline bfloat16", "bfloat16"),
            ("pipeline float32", "tutorial"),
        ):
            ratios = [a / b for a, b in zip(rates[name], rates[peer], strict=True)]
            print(f"  {name} / {peer}: {statistics.median(ratios):.2f}")


def peer_rate(peer, encoder, flickr8k):
    images = os.path.join(flickr8k, "images")
    paths = [os.path.join(images, name) for name in sorted(os.listdir(images))[:1000]]
    script = os.path.join(os.path.dirname(__file__), "encoder_peers.py")
    command = [sys.executable, script, peer, encoder, *paths]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(result.stdout.split()[-1])


def pipeline_rates(encoder, precision, flickr8k, count):
    """Images/s of committed shards, and of the whole command."""
    with tempfile.TemporaryDirectory() as folder:
        table = os.path.join(folder, "captions.jsonl")
        write_table(flickr8k, table, count)
        output = os.path.join(folder, "data")
        start = time.perf_counter()
        subprocess.run(
            [
                sys.executable, "-m", "pipeline", "--source=table", f"--input={table}",
                f"--image_directory={os.path.abspath(flickr8k)}/images", f"--output={output}",
                "--split_fractions=1,0,0", f"--encoder={encoder}", "--encoder_weights=random",
                "--encoder_layer=block5_pool" if encoder.startswith("vgg") else "--encoder_layer=",
                "--caption_column=captions", f"--precision={precision}",
            ],
            check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        taken = time.perf_counter() - start
        return steady_rate(output, count), count / taken


def steady_rate(output, count):
    """Images/s from the first committed shard to the last: reading the encoder is not in it."""
    paths = glob.glob(os.path.join(output, "receipts", "captions-*.json"))
    receipts = [json.loads(Path(path).read_text()) for path in paths]
    receipts.sort(key=lambda receipt: receipt["time"])
    images = [receipt["shard"]["images"] for receipt in receipts]
    assert sum(images) == count
    return sum(images[1:]) / (receipts[-1]["time"] - receipts[0]["time"])


def write_table(flickr8k, path, count):
    captions = {}
    with open(os.path.join(flickr8k, "Flickr8k.token.txt")) as file:
        for line in file:
            name, caption = line.rstrip("\n").split("\t")
            captions.setdefault(name.split("#")[0], []).append(caption)
    there = set(os.listdir(os.path.join(flickr8k, "images")))
    names = [name for name in captions if name in there][:count]
    with open(path, "w") as file:
        for name in names:
            file.write(json.dumps({"image": name, "captions": captions[name]}) + "\n")


if __name__ == "__main__":
    chosen = {name: int(n) for name, n in (item.split("=") for item in sys.argv[2:])}
    main(sys.argv[1], chosen or DEFAULT)
