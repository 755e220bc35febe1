"""What the pipeline's encoding is compared with: images/s of one way to run a CNN, one process.

    encoder_peers.py PEER ENCODER IMAGES...

PEER is `keras`, a Keras model in a tf.function on batches in memory; `frozen`, the same as the
pipeline saves it; `bfloat16`, likewise and in bfloat16; or `tutorial`, the loop of the
Flickr8k tutorials: load an image, `model.predict`, keep the features, one after the other.
"""

import sys
import time

from tfrecords_schema.start_tensorflow import start_tensorflow

start_tensorflow(3)

import keras
import numpy as np
import tensorflow as tf

from pipeline.encoder.frozen_graph import freeze
from pipeline.encoder.networks import NETWORKS

BATCH = 32
SECONDS = 8  # of measuring


def main(peer, encoder, paths):
    network = NETWORKS[encoder]
    model = network.build(include_top=False, weights=None, pooling=None)
    side = model.input_shape[1] or network.side
    model = network.build(include_top=False, weights=None, input_shape=(side, side, 3))
    if peer == "tutorial":
        print(tutorial(model, network.module.preprocess_input, paths))
        return
    images = keras.Input((side, side, 3))
    model = keras.Model(images, model(network.module.preprocess_input(images)))
    if peer == "keras":
        run = tf.function(lambda images: model(images, training=False), autograph=False)
    else:
        run = tf.function(
            freeze(model, "bfloat16" if peer == "bfloat16" else "float32"), autograph=False
        )
    batch = tf.constant(np.random.default_rng(0).uniform(0, 255, (BATCH, side, side, 3)), "float32")
    for _ in range(3):
        run(batch)
    start, images = time.perf_counter(), 0
    while time.perf_counter() - start < SECONDS:
        run(batch).numpy()
        images += BATCH
    print(images / (time.perf_counter() - start))


def tutorial(model, preprocess_input, paths):
    features, start = {}, None
    for path in paths:
        image = keras.utils.load_img(path, target_size=model.input_shape[1:3])
        image = np.expand_dims(keras.utils.img_to_array(image), 0)
        features[path] = model.predict(preprocess_input(image), verbose=0)
        start = start or time.perf_counter()  # the first one traces the model
        if time.perf_counter() - start > SECONDS:
            break
    return (len(features) - 1) / (time.perf_counter() - start)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
