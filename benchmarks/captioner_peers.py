"""Training steps beside those of the tutorials, in turns: captions/s, and the share of the cores.

    .venv/bin/python benchmarks/captioner_peers.py

`prefixes` is the generator of the Keras tutorials: for each image, each caption's every prefix
padded to 34 words with the next word as a one-hot vector over 8,764, one image a batch, LSTM 256.
`merge` is the recipe vgg16_lstm: the same network on whole captions, 32 images a batch.

`loop` is the step of the TensorFlow tutorial on attention: GRU 512, 64 regions of 2,048,
vocabulary 5,001, a Python loop over 34 padded words unrolled in a tf.function, 64 captions a
batch. `attend` is the recipe icapnet, the same network on 65 packed captions, the five of 13
images, as the trainer makes batches of Flickr8k. `attend_1` has 64 captions of 64 images: it gains
nothing from looking at an image once for all its captions.

Our steps run in the trainer's own loop, on batches that lie in memory. Captions are random words,
as long as those of Flickr8k. The last lines give what share of the rate of a large float32 matrix
product `attend` reaches in steps of 128 captions with its default sizes, MobileNetV2's grid less
the regions that are dropped and 2,536 words, counting the products that `flops` lists.
"""

import statistics
import time

from tfrecords_schema.start_tensorflow import start_tensorflow

start_tensorflow(3)

import keras
import numpy as np
import tensorflow as tf

from tfrecords_schema.vocabulary import END, START
from trainer import recipes
from trainer.layers.dropout import regions_kept
from trainer.layers.packing import pack_captions
from trainer.models.make_model import MODELS
from trainer.objectives.cross_entropy import make_cross_entropy_step
from trainer.optimizer import ClippedAdam, Update
from trainer.step import make_train_loop, make_train_step

ROUNDS, SECONDS = 5, 5
BATCHES = 8
LONGEST = 34
WORDS, CAPTIONS_AN_IMAGE = 8764, 5
# Words of a caption of Flickr8k: mean 10.8, standard deviation 3.8.
LENGTHS = np.random.default_rng(0).normal(10.8, 3.8, 10_000).clip(3, LONGEST - 2).astype(int)


def captions(rng, images, an_image, vocabulary):
    """int32 [images, an_image, T], lengths sorted into a batch as the trainer's windows do."""
    lengths = np.sort(rng.choice(LENGTHS, 8 * images * an_image))
    first = rng.integers(0, 7) * images * an_image
    lengths = rng.permutation(lengths[first : first + images * an_image])
    ids = np.zeros([images * an_image, lengths.max() + 2], np.int32)
    for row, length in zip(ids, lengths, strict=True):
        row[: length + 2] = [START, *rng.integers(4, vocabulary, length), END]
    return ids.reshape(images, an_image, -1)


def prefix_generator(rng):
    """A step on one image: what the tutorials' generator yields, and train_on_batch."""
    image = keras.Input((4096,))
    words = keras.Input((LONGEST,))
    seen = keras.layers.Dense(256, "relu")(keras.layers.Dropout(0.5)(image))
    embedded = keras.layers.Embedding(WORDS, 256, mask_zero=True)(words)
    read = keras.layers.LSTM(256)(keras.layers.Dropout(0.5)(embedded))
    both = keras.layers.Dense(256, "relu")(keras.layers.add([seen, read]))
    model = keras.Model([image, words], keras.layers.Dense(WORDS, "softmax")(both))
    model.compile("adam", "categorical_crossentropy")
    feature = rng.standard_normal(4096).astype(np.float32)

    def step():
        images, inputs, outputs = [], [], []
        for ids in captions(rng, 1, CAPTIONS_AN_IMAGE, WORDS)[0]:
            ids = ids[ids > 0]
            for end in range(1, len(ids)):
                images.append(feature)
                inputs.append(np.pad(ids[:end], (LONGEST - end, 0)))
                outputs.append(keras.utils.to_categorical(ids[end], WORDS))
        model.train_on_batch([np.array(images), np.array(inputs)], np.array(outputs))
        return CAPTIONS_AN_IMAGE

    return step


def attention_loop(rng):
    """A step of the TensorFlow tutorial on 64 captions."""
    batch, units, vocabulary = 64, 512, 5001
    dense = keras.layers.Dense
    encode, w1, w2, v = dense(256, "relu"), dense(units), dense(units), dense(1)
    embedding, gru = keras.layers.Embedding(vocabulary, 256), keras.layers.GRUCell(units)
    fc1, fc2 = dense(units), dense(vocabulary)
    optimizer = keras.optimizers.Adam()
    layers = [encode, w1, w2, v, embedding, gru, fc1, fc2]
    features = tf.constant(rng.standard_normal((batch, 64, 2048)), tf.float32)

    def loss_of(features, ids):
        regions, h, loss = encode(features), tf.zeros([batch, units]), 0.0
        for t in range(1, LONGEST):
            weights = tf.nn.softmax(v(tf.tanh(w1(regions) + w2(h)[:, None])), axis=1)
            context = tf.reduce_sum(weights * regions, 1)
            h, _ = gru(tf.concat([context, embedding(ids[:, t - 1])], -1), h)
            logits = fc2(fc1(h))
            each = tf.nn.sparse_softmax_cross_entropy_with_logits(ids[:, t], logits)
            loss += tf.reduce_mean(each * tf.cast(ids[:, t] > 0, tf.float32))
        return loss

    loss_of(features[:1].numpy().repeat(batch, 0), tf.zeros([batch, LONGEST], tf.int32))
    variables = [weight for layer in layers for weight in layer.trainable_variables]
    optimizer.build(variables)

    @tf.function(autograph=False)
    def train(features, ids):
        with tf.GradientTape() as tape:
            loss = loss_of(features, ids)
        optimizer.apply(tape.gradient(loss, variables), variables)
        return loss

    def step():
        ids = captions(rng, batch, 1, vocabulary)[:, 0]
        ids = np.pad(ids, [[0, 0], [0, LONGEST - ids.shape[1]]])
        train(features, tf.constant(ids)).numpy()
        return batch

    return step


def our_steps(rng, recipe, images, an_image, vocabulary, feature_shape):
    """The steps of a recipe; the tutorials' optimizers do not clip."""
    batches = [captions(rng, images, an_image, vocabulary) for _ in range(BATCHES)]
    return model_steps(rng, recipe("-", "-"), batches, vocabulary, feature_shape)


def model_steps(rng, config, batches, vocabulary, feature_shape):
    """A step on each of `batches`, in the trainer's loop; reading them is not what is timed."""
    make, sizes = MODELS[config.model], config.model_config
    model = make(sizes, vocabulary, feature_shape[-1])
    average = make(sizes, vocabulary, feature_shape[-1]) if config.average_decay else model
    optimizer, strategy = ClippedAdam(1e-3, 5.0), tf.distribute.get_strategy()
    optimizer.build(model.trainable_variables)
    updates = [Update(optimizer, model.trainable_variables)]
    step = make_cross_entropy_step(model, updates, config)
    train_step = make_train_step(step, model, average, optimizer, strategy, config.average_decay)
    loop = make_train_loop(train_step, step.scalars, updates, strategy)
    images, an_image = batches[0].shape[:2]
    features = tf.constant(rng.standard_normal((1, images, *feature_shape)), tf.float16)
    names = tf.constant([["-"] * images])
    data = tf.data.Dataset.from_generator(
        lambda: batches, output_signature=tf.TensorSpec([images, an_image, None], tf.int32)
    )
    data = data.map(
        lambda ids: {"image_features": features, "caption_ids": ids[None], "image_id": names}
    )
    iterator = iter(data.cache().repeat())
    rates, shares = tf.fill([BATCHES, 1], 1e-3), tf.zeros([BATCHES])

    def steps():
        loop(iterator, rates, shares)[0].numpy()
        return BATCHES * images * an_image

    return steps


def flops(ids, regions, depth, vocabulary, sizes):
    """Of the matrix products in a step of `attend`: 2 a multiplication and addition.

    Forward, for each image: annotations R D C, keys R C A, initial state C 2H. For each word: query
    H (A + 1), scores R A, context R C, gates (E + C + H) 4H, output H E + C E, logits E V. Backward
    twice that, but for the gradient of the features, which nobody needs.
    """
    c, a, h, e = (
        sizes.annotation_units, sizes.attention_units, sizes.units, sizes.embedding_units
    )  # fmt: skip
    images, words = len(ids), len(pack_captions(tf.constant(ids)).labels_P)
    annotate = images * regions * depth * c
    an_image = regions * c * a + c * 2 * h
    a_word = h * (a + 1) + regions * (a + c) + (e + c + h) * 4 * h + (h + c) * e + e * vocabulary
    return 2 * (2 * annotate + 3 * (images * an_image + words * a_word))


def matrix_rate():
    """FLOP/s of a float32 product of 2,048 x 2,048 matrices."""
    x = tf.random.normal([2048, 2048])
    product = tf.function(lambda: tf.matmul(x, x), autograph=False)
    product().numpy()
    start = time.perf_counter()
    for _ in range(20):
        product()
    product().numpy()
    return 21 * 2 * 2048**3 / (time.perf_counter() - start)


def rate(step):
    start, done = time.perf_counter(), 0
    while time.perf_counter() - start < SECONDS:
        done += step()
    return done / (time.perf_counter() - start)


def main():
    rng = np.random.default_rng(1)
    config = recipes.attend("-", "-")
    sizes = config.model_config
    regions = regions_kept(49, sizes.region_dropout)
    steps = {
        "prefixes": prefix_generator(rng),
        "merge": our_steps(rng, recipes.vgg16_lstm, 32, 5, WORDS, (4096,)),
        "loop": attention_loop(rng),
        "attend": our_steps(rng, recipes.icapnet, 13, 5, 5001, (64, 2048)),
        "attend_1": our_steps(rng, recipes.icapnet, 64, 1, 5001, (64, 2048)),
    }
    batches = [captions(rng, 128 // 4, 4, 2536) for _ in range(BATCHES)]
    default = model_steps(rng, config, batches, 2536, (49, 1280))
    counted = sum(flops(ids, regions, 1280, 2536, sizes) for ids in batches)
    a_caption = counted / sum(ids.shape[0] * ids.shape[1] for ids in batches)
    for step in [*steps.values(), default]:
        for _ in range(4):
            step()
    rates = {name: [] for name in steps}
    shares = []
    for _ in range(ROUNDS):
        for name, step in steps.items():
            rates[name].append(rate(step))
        matrix = matrix_rate()
        shares.append(rate(default) * a_caption / matrix)
        print({name: round(values[-1], 1) for name, values in rates.items()}, flush=True)
        print(
            f"matrix product {matrix / 1e9:.0f} GFLOP/s, attend {shares[-1]:.2f} of it", flush=True
        )
    for name, values in rates.items():
        spread = f"({min(values):.0f} to {max(values):.0f})"
        print(f"{name:9} {statistics.median(values):7.0f} captions/s {spread}")
    for ours, peer in (("merge", "prefixes"), ("attend", "loop"), ("attend_1", "loop")):
        ratios = [a / b for a, b in zip(rates[ours], rates[peer], strict=True)]
        print(f"{ours} / {peer}: {statistics.median(ratios):.1f}")
    spread = f"({min(shares):.2f} to {max(shares):.2f})"
    print(f"attend, share of the matrix rate: {statistics.median(shares):.2f} {spread}")


if __name__ == "__main__":
    main()
