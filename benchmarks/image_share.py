"""What a trained captioner takes from the image, and what from the words before.

    .venv/bin/python benchmarks/image_share.py RUN...

Cross-entropy a word (nats) of the validation split's captions, with their own image and with that
of another one. What lies between is what the image tells; a model that does well with another
image explains captions by themselves.
"""

import os
import sys

from tfrecords_schema.start_tensorflow import start_tensorflow

start_tensorflow(3)

import tensorflow as tf

from tfrecords_schema.parse import parse_batch
from trainer.layers.model_input import as_model_input
from trainer.layers.packing import pack_captions
from trainer.layers.smoothed_cross_entropy import cross_entropy_sum
from trainer.trained_run import load_run

BATCH = 32  # images; each goes to its neighbour's captions


def cross_entropies(run):
    """With their own image and with another one."""
    trained = load_run(run)

    @tf.function(reduce_retracing=True, autograph=False)
    def sums(features, caption_ids):
        words, regions = pack_captions(caption_ids), as_model_input(features)
        losses = [
            cross_entropy_sum(trained.model.teacher_force(x, words, None).logits_PV, words.labels_P)
            for x in (regions, tf.roll(regions, 1, axis=0))
        ]
        return tf.stack([*losses, tf.cast(tf.size(words.labels_P), tf.float32)])

    shards = trained.dataset.shard_paths("validation")
    features, total = trained.dataset.manifest.features(), 0.0
    for serialized in tf.data.TFRecordDataset(shards).batch(BATCH):
        batch = parse_batch(features, serialized)
        total += sums(batch["image_features"], batch["caption_ids"]).numpy()
    return total[:2] / total[2]


def main():
    """One line a run."""
    print(f"{'':<20}{'own image':>12}{'another':>12}{'difference':>12}")
    for run in sys.argv[1:]:
        own, other = cross_entropies(run)
        print(f"{os.path.basename(run):<20}{own:>12.3f}{other:>12.3f}{other - own:>12.3f}")


if __name__ == "__main__":
    main()
