"""What every captioner promises, whatever its kind."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from small_captioners import CAPTIONS, FAMILIES, KINDS, VOCABULARY, make, take

from tfrecords_schema.vocabulary import END, START
from trainer.config import TrainConfig
from trainer.decoding.beam_search import search_captions
from trainer.decoding.sampling import sample_captions
from trainer.decoding.search_config import SearchConfig
from trainer.layers.packing import pack, pack_captions, repeat_images, unpack, word_before
from trainer.layers.smoothed_cross_entropy import cross_entropy_sum
from trainer.models.make_model import MODELS
from trainer.objectives.cross_entropy import make_cross_entropy_step
from trainer.optimizer import ClippedAdam, Update
from trainer.replicas.stateless_random import replica_seed
from trainer.step import make_train_step

IDS = st.lists(st.lists(st.integers(4, 9), max_size=5), min_size=1, max_size=8)


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture(params=FAMILIES)
def family(request):
    return request.param


def loss_of(model, features, captions):
    words = pack_captions(tf.convert_to_tensor(captions))
    return cross_entropy_sum(model.teacher_force(features, words, None).logits_PV, words.labels_P)


# --- packing


@settings(deadline=None, max_examples=40)
@given(IDS, st.integers(0, 3))
def test_packing_keeps_every_word_and_no_padding(captions, padding):
    captions = [[START, *words, END] if words else [] for words in captions]
    longest = max(2, *map(len, captions)) + padding
    ids = np.array([[c + [0] * (longest - len(c)) for c in captions]], np.int32)
    words = pack_captions(tf.constant(ids))
    pairs = sorted((a, b) for c in captions for a, b in zip(c, c[1:], strict=False))
    assert sorted(zip(words.inputs_P.numpy(), words.labels_P.numpy(), strict=True)) == pairs
    lengths = sorted((max(len(c) - 1, 0) for c in captions), reverse=True)
    assert words.rows_T.numpy().tolist() == [
        sum(length > t for length in lengths) for t in range(lengths[0])
    ]
    back = unpack(words.labels_P, words).numpy()
    assert [[i for i in row if i] for row in back] == [c[1:] for c in captions]
    np.testing.assert_array_equal(pack(unpack(words.labels_P, words), words), words.labels_P)
    before = word_before(words.rows_T, words.row_P, words.time_P).numpy()
    later = words.time_P.numpy() > 0
    np.testing.assert_array_equal(
        words.labels_P.numpy()[before][later], words.inputs_P.numpy()[later]
    )


# --- all models


@pytest.mark.parametrize("compiled", [False, True])
def test_each_row_has_what_its_image_has_and_the_gradient_of_all_its_rows(compiled):
    words = pack_captions(tf.constant(CAPTIONS))
    rng = np.random.default_rng(0)
    x_BX = tf.constant(rng.standard_normal((3, 2, 5)), tf.float32)
    scale_NX = tf.constant(rng.standard_normal((6, 2, 5)), tf.float32)

    def run(repeat):
        with tf.GradientTape() as tape:
            tape.watch(x_BX)
            x_NX = repeat()
            loss = tf.reduce_sum(x_NX * scale_NX)
        return x_NX, tf.convert_to_tensor(tape.gradient(loss, x_BX))

    def repeated():
        return run(lambda: repeat_images(x_BX, words))

    expected = run(lambda: tf.gather(x_BX, words.image_N))
    found = tf.function(repeated, autograph=False)() if compiled else repeated()
    for got, want in zip(found, expected, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-6)


def test_teacher_forcing_predicts_what_stepping_word_by_word_predicts(kind):
    model, features = make(kind)
    words = pack_captions(tf.constant(CAPTIONS))
    logits_PV = model.teacher_force(features, words, None).logits_PV.numpy()
    places = zip(words.caption_N.numpy()[words.row_P], words.time_P.numpy(), strict=True)
    forced = {place: logits for place, logits in zip(places, logits_PV, strict=True)}
    for number, ids in enumerate(CAPTIONS.reshape(-1, CAPTIONS.shape[-1])):
        context = take(model.encode(features), number // CAPTIONS.shape[1])
        state = model.start(context)
        for time in range(np.count_nonzero(ids) - 1):
            logits, state = model.step(context, state, tf.constant(ids[time : time + 1]))
            np.testing.assert_allclose(forced.pop((number, time)), logits[0], atol=1e-4)
    assert not forced


def test_captions_of_an_image_are_written_together_as_each_alone(kind):
    model, features = make(kind)
    tokens = np.random.default_rng(2).integers(4, 12, [3, len(features), 2]).astype(np.int32)

    def write(context, tokens_TN):
        rows = tokens_TN.shape[1] // len(tf.nest.flatten(context)[0])
        state = tf.nest.map_structure(lambda x: tf.repeat(x, rows, axis=0), model.start(context))
        logits = []
        for token_N in tokens_TN:
            logits_NV, state = model.step(context, state, tf.constant(token_N))
            logits.append(logits_NV)
        return np.stack(logits)

    together = write(model.encode(features), tokens.reshape(3, -1))
    for image in range(len(features)):
        for k in range(2):
            alone = write(take(model.encode(features), image), tokens[:, image, k : k + 1])
            np.testing.assert_allclose(together[:, 2 * image + k], alone[:, 0], atol=1e-5)


def test_padding_of_a_batch_does_not_change_its_loss(family):
    model, features = make(family)
    more_features = tf.concat([features, tf.ones([2, 4, 6])], 0)
    padded = np.pad(CAPTIONS, [[0, 2], [0, 3], [0, 4]])
    expected = loss_of(model, features, CAPTIONS)
    np.testing.assert_allclose(loss_of(model, more_features, padded), expected, rtol=1e-5)


def test_a_batch_without_captions_has_no_loss_and_no_gradient(family):
    model, features = make(family)

    @tf.function(autograph=False)  # as a replica's slice of a last batch can be all padding
    def run(captions):
        with tf.GradientTape() as tape:
            loss = loss_of(model, features, captions)
        return loss, tape.gradient(loss, model.trainable_variables)

    loss, gradients = run(tf.zeros_like(CAPTIONS))
    assert float(loss) == 0
    assert all(np.all(tf.convert_to_tensor(g) == 0) for g in gradients if g is not None)


def test_every_weight_learns(kind):
    model, features = make(kind)
    with tf.GradientTape() as tape:
        loss = loss_of(model, features, CAPTIONS)
    for weight, gradient in zip(
        model.trainable_variables, tape.gradient(loss, model.trainable_variables), strict=True
    ):
        assert gradient is not None, weight.path
        assert np.abs(tf.convert_to_tensor(gradient)).max() > 0, weight.path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "regions"),
    [(kind, 4) for kind in FAMILIES] + [(kind, 1) for kind in KINDS if " " not in kind],
)
def test_a_captioner_overfits_one_batch_and_then_writes_its_captions(kind, regions):
    model, features = make(kind, regions)
    captions = CAPTIONS[:, :1]  # one an image, so that there is one right answer
    optimizer = ClippedAdam(0.01, 5.0)
    optimizer.build(model.trainable_variables)
    average, _ = make(kind, regions)
    config = TrainConfig(data="-", run="-", label_smoothing=0)
    updates = [Update(optimizer, model.trainable_variables)]
    replica_step = make_cross_entropy_step(model, updates, config)
    step = make_train_step(
        replica_step, model, average, optimizer,
        tf.distribute.get_strategy(), 0.9,
    )  # fmt: skip
    batch = {"image_features": features, "caption_ids": tf.constant(captions)}
    losses = [float(step(batch, tf.constant(0.0))["loss"]) for _ in range(150)]
    assert losses[0] == pytest.approx(np.log(VOCABULARY), abs=1.0)
    assert losses[-1] < 0.02
    for width in (1, 3):
        ids = search_captions(model, features, SearchConfig(width, 6, 0.0)).ids_BWT[:, 0].numpy()
        for got, want in zip(ids, captions[:, 0, 1:], strict=True):
            assert got[: len(want)].tolist() == want.tolist()


def test_a_batch_gives_each_image_what_it_gets_alone(family):
    model, features = make(family)
    together = search_captions(model, features, SearchConfig(3, 5, 0.0))
    for i in range(3):
        alone = search_captions(model, features[i : i + 1], SearchConfig(3, 5, 0.0))
        np.testing.assert_array_equal(together.ids_BWT[i], alone.ids_BWT[0])
        np.testing.assert_allclose(together.log_probs_BW[i], alone.log_probs_BW[0], atol=1e-4)


@pytest.mark.parametrize("kind", ["attend", "attend_after", "inject", "merge"])
@pytest.mark.parametrize("job", ["3 beams", "2 drawn"])
def test_xla_writes_the_same_captions(kind, job):
    model, features = make(kind)
    for weight in model.trainable_variables:
        weight.assign(weight * 3)  # so that one word does not follow itself forever

    def written(jit_compile):
        search = SearchConfig(3, 6, 1.0, jit_compile)

        @tf.function(autograph=False)
        def write(features):
            if job == "2 drawn":
                seed = replica_seed(1, 2, tf.constant(CAPTIONS))
                return sample_captions(model, features, 2, search, seed)
            return search_captions(model, features, search).ids_BWT

        library = write.get_concrete_function(features).graph.as_graph_def().library
        assert any("_XlaMustCompile" in f.attr for f in library.function) == jit_compile
        return write(features).numpy()

    plain = written(False)
    assert len(np.unique(plain)) > 1
    np.testing.assert_array_equal(written(True), plain)


def test_words_predicted_depend_on_the_image(family):
    model, features = make(family)
    words = pack_captions(tf.constant(CAPTIONS))
    logits = [model.teacher_force(x, words, None).logits_PV for x in (features, features[::-1] * 3)]
    assert np.abs(logits[0] - logits[1]).max() > 1e-3


@pytest.mark.parametrize(
    "kind, place",
    [
        (kind, place)
        for kind in KINDS
        if "tied" not in kind and "cell" not in kind  # which have no part in it
        for place in ("region", "annotation", "embedding", "layer", "recurrent", "output")
        if kind in MODELS or place == "layer"
        if place != "layer" or "layers" in kind or kind == "transformer"
        if place != "recurrent" or kind.split()[0] == "attend"
    ],
)
def test_dropout_depends_on_the_seed_alone(kind, place):
    model, features = make(kind, **{f"{place}_dropout": 0.5})
    words = pack_captions(tf.constant(CAPTIONS))

    def logits(seed):
        seed = seed and replica_seed(*seed, tf.constant(CAPTIONS))
        return model.teacher_force(features, words, seed).logits_PV

    np.testing.assert_array_equal(logits([1, 0]), logits([1, 0]))
    assert np.abs(logits([1, 0]) - logits([2, 0])).max() > 1e-5
    np.testing.assert_array_equal(logits(None), logits(None))
