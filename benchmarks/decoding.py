"""Images captioned a second by each model: greedily, with 5 beams, and drawing 5 captions an image.

    .venv/bin/python benchmarks/decoding.py

MobileNetV2's grid, 2,536 words, 32 images a batch, default sizes (the transformer with two
layers), without and, where the model can, with `--jit_compile`, in turns. Weights are random, so
nearly all captions are as long as they may be, 20 words.
"""

import statistics
import time

from tfrecords_schema.start_tensorflow import start_tensorflow
from trainer.decoding.search_config import SearchConfig

start_tensorflow(3)

import tensorflow as tf

from trainer.config import OF_MODELS, ModelConfig
from trainer.decoding.beam_search import search_captions
from trainer.decoding.sampling import sample_captions
from trainer.models.make_model import MODELS
from trainer.replicas.stateless_random import replica_seed

ROUNDS, IMAGES, REGIONS, DEPTH, VOCABULARY, WORDS = 7, 32, 49, 1280, 2536, 20


def make_jobs(name, features):
    """Name of the job, and whether XLA does it -> a function that captions the features."""
    layers = 2 if name == "transformer" else 1
    model = MODELS[name](ModelConfig(layers=layers), VOCABULARY, DEPTH)
    seed = replica_seed(0, 0, tf.zeros([IMAGES, 5, WORDS], tf.int32))

    def search(features, width, jit_compile):
        return search_captions(
            model, features, SearchConfig(width, WORDS, 1.0, jit_compile)
        ).ids_BWT

    def draw(features, samples, jit_compile):
        return sample_captions(
            model, features, samples, SearchConfig(1, WORDS, 0.0, jit_compile), seed
        )

    jobs = {}
    for job, write, count in (
        ("greedy", search, 1),
        ("5 beams", search, 5),
        ("5 drawn", draw, 5),
    ):
        for jit_compile in [False] + [True] * (name in OF_MODELS["jit_compile"]):

            @tf.function(autograph=False)
            def caption(features, write=write, count=count, jit_compile=jit_compile):
                return write(features, count, jit_compile)

            jobs[job, jit_compile] = lambda caption=caption: caption(features)
    return jobs


def main():
    """Times all jobs in turns."""
    tf.get_logger().setLevel("ERROR")  # it takes functions made in a loop for one that is retraced
    features = tf.random.stateless_normal([IMAGES, REGIONS, DEPTH], [1, 2])
    jobs = {name: make_jobs(name, features) for name in MODELS}
    times = {(name, *job): [] for name in jobs for job in jobs[name]}
    for round_number in range(ROUNDS + 1):
        for (name, *job), seconds in times.items():
            start = time.perf_counter()
            jobs[name][tuple(job)]().numpy()
            if round_number:  # the first call traces
                seconds.append(time.perf_counter() - start)
    for (name, job, jit_compile), seconds in times.items():
        if jit_compile:
            plain = times[name, job, False]
            ratio = statistics.median(a / b for a, b in zip(plain, seconds, strict=True))
            print(f"{name:<13}{job:<9}{ratio:7.2f} times as many with XLA")
        else:
            print(f"{name:<13}{job:<9}{IMAGES / statistics.median(seconds):7.0f} images/s")


if __name__ == "__main__":
    main()
