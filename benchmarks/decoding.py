"""Images captioned a second by each model: greedily, with 5 beams, and drawing 5 captions an image.

    .venv/bin/python benchmarks/decoding.py

MobileNetV2's grid, 2,536 words, 32 images a batch, default sizes (the transformer with two
layers), in turns. Weights are random, so nearly all captions are as long as they may be, 20 words.
"""

import statistics
import time

from tfrecords_schema.start_tensorflow import start_tensorflow

start_tensorflow(3)

import tensorflow as tf

from trainer.config import ModelConfig
from trainer.decode import sample_captions, search_captions
from trainer.draws import replica_seed
from trainer.run_directory import MODELS

ROUNDS, IMAGES, REGIONS, DEPTH, VOCABULARY, WORDS = 7, 32, 49, 1280, 2536, 20


def make_jobs(name, features):
    """Name of the job -> a function that captions the features."""
    layers = 2 if name == "transformer" else 1
    model = MODELS[name](ModelConfig(layers=layers), VOCABULARY, DEPTH)
    seed = replica_seed(0, 0, tf.zeros([IMAGES, 5, WORDS], tf.int32))
    return {
        "greedy": tf.function(lambda: search_captions(model, features, 1, WORDS).ids_BWT),
        "5 beams": tf.function(lambda: search_captions(model, features, 5, WORDS, 1.0).ids_BWT),
        "5 drawn": tf.function(lambda: sample_captions(model, features, 5, WORDS, seed)),
    }


def main():
    """Times all jobs in turns."""
    features = tf.random.stateless_normal([IMAGES, REGIONS, DEPTH], [1, 2])
    jobs = {name: make_jobs(name, features) for name in MODELS}
    times = {(name, job): [] for name in jobs for job in jobs[name]}
    for round_number in range(ROUNDS + 1):
        for (name, job), seconds in times.items():
            start = time.perf_counter()
            jobs[name][job]().numpy()
            if round_number:  # the first call traces
                seconds.append(time.perf_counter() - start)
    for (name, job), seconds in times.items():
        print(f"{name:<13}{job:<9}{IMAGES / statistics.median(seconds):7.0f} images/s")


if __name__ == "__main__":
    main()
