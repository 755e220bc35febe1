"""Memory and start of the pipeline with a network of half a gigabyte."""

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from small_configs import pipeline_config

from pipeline.drawn_pictures import write_pictures
from pipeline.encoder.encoder_model import build_model
from pipeline.encoder.image_encoder import write_image_encoder
from tfrecords_schema.manifest import ENCODER_DIRECTORY, read_manifest

WEIGHTS = 134_260_544 * 4  # bytes of VGG16 up to fc2
BOUND = 2**30 + 3 * WEIGHTS
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="reads Linux' /proc"),
]

# Prints the seconds from the start of loading to the first features, and the peak in bytes.
WORKER = """
import sys, time
from tfrecords_schema.start_tensorflow import start_tensorflow
start_tensorflow()
import tensorflow as tf
from pipeline.shards.encode_images import start_machine
start = time.monotonic()
machine = start_machine(sys.argv[1], 2, "")
features = machine.encoder.encode(tf.zeros([8, 224, 224, 3]))
seconds = time.monotonic() - start
assert features.shape == (8, 4096)
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(seconds, int(peak.split()[1]) * 1024)
"""


def peak_of(command):
    """Runs a command to its end; its peak resident memory in bytes, and its output.

    The kernel's own account of a child that has ended counts this process too, from which it was
    forked. So it is read while the child runs.
    """
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    peak = 0
    while process.poll() is None:
        with contextlib.suppress(OSError, StopIteration):
            lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
            line = next(line for line in lines if line.startswith("VmHWM"))
            peak = max(peak, int(line.split()[1]) * 1024)
        time.sleep(0.05)
    output = process.stdout.read()
    assert process.returncode == 0, output
    return peak, output


def test_a_worker_with_vgg16_up_to_fc2_is_small_and_starts_at_once(tmp_path):
    config = pipeline_config(
        "pictures", tmp_path, encoder="vgg16", encoder_weights="random", features="pooled"
    )
    write_image_encoder(build_model(config), config)
    graph = tmp_path / ENCODER_DIRECTORY / "saved_model.pb"
    assert graph.stat().st_size < 2**20
    written = sum(path.stat().st_size for path in (tmp_path / ENCODER_DIRECTORY).rglob("*"))
    assert WEIGHTS < written < 1.01 * WEIGHTS
    _, output = peak_of([sys.executable, "-c", WORKER, str(tmp_path / ENCODER_DIRECTORY)])
    seconds, peak = map(float, output.split())
    assert seconds < 20
    assert peak < BOUND


def test_the_whole_pipeline_with_vgg16_up_to_fc2_is_small(tmp_path):
    """The launcher is the worker too here, and has built the network before."""
    write_pictures(tmp_path / "pictures", count=30, seed=1, damaged=0)
    peak, _ = peak_of(
        [
            sys.executable, "-m", "pipeline", f"--input={tmp_path}/pictures", "--min_count=1",
            f"--output={tmp_path}/data", "--encoder=vgg16", "--encoder_weights=random",
            "--features=pooled",
        ]
    )  # fmt: skip
    manifest = read_manifest(str(tmp_path / "data"))
    assert sum(map(manifest.images, manifest.splits)) == 30
    assert peak < BOUND
