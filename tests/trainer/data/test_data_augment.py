import colorsys

import numpy as np
import pytest
import tensorflow as tf

from trainer.config import TrainConfig
from trainer.data.augment import augment, change_colors, crop_and_resize
from trainer.replicas.stateless_random import replica_seed

IMAGES = tf.random.stateless_uniform([40, 6, 8, 3], [1, 2]) * 255
SEED = replica_seed(3, 4, tf.zeros([40, 1, 1]))


def augmented(images=IMAGES, seed=SEED, **changes):
    return augment(images, TrainConfig(data="-", run="-", **changes), seed).numpy()


def ones(count=40):
    return tf.ones([count])


def test_images_are_not_augmented_unless_asked_for():
    np.testing.assert_array_equal(augmented(), IMAGES)


def test_some_images_are_mirrored():
    flipped = augmented(flip=True)
    kept = (flipped == IMAGES).numpy().all((1, 2, 3))
    mirrored = (flipped == IMAGES[:, :, ::-1]).numpy().all((1, 2, 3))
    assert (kept | mirrored).all() and 10 < kept.sum() < 30


@pytest.mark.parametrize("changes", [{"flip": True}, {"crop": 0.5}, {"color_jitter": 0.5}])
def test_an_image_is_changed_as_the_seed_and_its_place_say(changes):
    whole = augmented(**changes)
    assert whole.shape == IMAGES.shape and whole.min() >= 0 and whole.max() <= 255
    np.testing.assert_array_equal(augmented(**changes), whole)
    later = SEED._replace(image=SEED.image + 30)  # as of a replica that has the last ten
    np.testing.assert_allclose(augmented(IMAGES[30:], later, **changes), whole[30:], rtol=1e-5)
    another = augmented(seed=replica_seed(3, 5, tf.zeros([40, 1, 1])), **changes)
    assert np.abs(another - whole).max() > 1


def test_a_crop_is_the_part_it_says_at_the_size_of_the_whole():
    rows, columns = np.mgrid[0:6, 0:8].astype(np.float32)
    image = np.stack([rows, columns, rows * 0], -1)[None]
    whole = crop_and_resize(image, ones(1), ones(1), ones(1))
    np.testing.assert_allclose(whole, image, atol=1e-5)
    half = crop_and_resize(image, ones(1) / 2, ones(1), ones(1) * 0)[0].numpy()
    assert half.shape == (6, 8, 3)
    np.testing.assert_allclose(half[:, 0, 0], np.linspace(2.5, 5, 6), atol=1e-5)  # the lower half
    np.testing.assert_allclose(half[0, :, 1], np.linspace(0, 3.5, 8), atol=1e-5)  # the left one


def test_crops_stay_within_the_image_and_are_no_smaller_than_asked():
    columns = np.broadcast_to(np.arange(8, dtype=np.float32)[None, None, :, None], (40, 6, 8, 3))
    cropped = augmented(tf.constant(columns + 1), crop=0.5)
    widths = cropped[:, 0, -1, 0] - cropped[:, 0, 0, 0]
    assert cropped.min() >= 1 - 1e-5 and cropped.max() <= 8 + 1e-5
    assert widths.min() >= 3.5 - 1e-4 and widths.max() <= 7 and widths.std() > 0.5
    assert cropped[:, 0, 0, 0].std() > 0.3  # not all at the left


def test_colors_change_by_their_factors():
    image = tf.constant([[[[100.0, 50, 50], [20, 40, 60]]]])
    same = change_colors(image, ones(1), ones(1), ones(1))
    np.testing.assert_allclose(same, image, rtol=1e-5)
    bright = change_colors(image, ones(1) * 1.5, ones(1), ones(1))
    np.testing.assert_allclose(bright, image * 1.5, rtol=1e-5)
    white = change_colors(image, ones(1) * 100, ones(1), ones(1))
    np.testing.assert_allclose(white, tf.fill(image.shape, 255.0))
    flat = change_colors(image, ones(1), ones(1) * 0, ones(1)).numpy()
    np.testing.assert_allclose(flat, flat[0, 0, 0, 0], rtol=1e-5)
    grey = change_colors(image, ones(1), ones(1), ones(1) * 0)[0, 0].numpy()
    luma = [colorsys.rgb_to_yiq(*pixel)[0] for pixel in image[0, 0].numpy()]
    np.testing.assert_allclose(grey, np.array(luma)[:, None] * [1, 1, 1], rtol=0.02)
