"""Processor time and memory of saved encoders, in turns: of two versions of the code, say.

    .venv/bin/python benchmarks/saved_encoders.py ROUNDS DATASET/image_encoder ...

Each has a process of its own with two threads, which encode batches of 8 images of noise for 5 s.
The processor's time tells more than the clock's where other work runs beside it.
"""

import subprocess
import sys

ENCODE = """
import sys, threading, time
from tfrecords_schema.start_tensorflow import start_tensorflow
start_tensorflow()
import tensorflow as tf
from pipeline.shards.encode_images import start_machine
start = time.monotonic()
encoder = start_machine(sys.argv[1], 2, "").encoder
side = encoder.decode_image.concrete_functions[0].structured_outputs.shape[0]
images = tf.random.stateless_uniform([8, side, side, 3], [1, 2], 0.0, 255.0)
encoder.encode(images).numpy()
started = time.monotonic() - start
counts, end, processor = [0, 0], time.monotonic() + 5, time.process_time()
def work(i):
    while time.monotonic() < end:
        encoder.encode(images).numpy()
        counts[i] += len(images)
threads = [threading.Thread(target=work, args=(i,)) for i in range(2)]
for thread in threads: thread.start()
for thread in threads: thread.join()
processor = (time.process_time() - processor) / sum(counts)
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]
print(f"{processor * 1000:8.2f} {started:8.1f} {int(peak) / 1024:8.0f}")
"""


def main() -> None:
    rounds, *encoders = sys.argv[1:]
    print("ms/image  start s  peak MB")
    for _ in range(int(rounds)):
        for encoder in encoders:
            command = [sys.executable, "-c", ENCODE, encoder]
            result = subprocess.run(command, check=True, capture_output=True, text=True)
            print(result.stdout.rstrip(), encoder, flush=True)


if __name__ == "__main__":
    main()
