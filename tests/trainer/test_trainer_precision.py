from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from small_configs import train_config

from tfrecords_schema.errors import InputError
from trainer.loop import train
from trainer.precision import set_precision
from trainer.runs.run_log import read_metrics


@pytest.fixture(autouse=True)
def float32_again():
    yield
    set_precision("float32")


def product(x):
    return tf.function(lambda: tf.reduce_sum(tf.matmul(x, x)), autograph=False)()


def has_bfloat16():
    path = Path("/proc/cpuinfo")
    flags = path.read_text() if path.exists() else ""
    return any(name in flags for name in ("avx512_bf16", "amx_bf16", "avx_ne_convert"))


@pytest.mark.skipif(not has_bfloat16(), reason="/proc/cpuinfo shows no bfloat16")
def test_bfloat16_is_what_products_are_computed_in():
    x = tf.random.stateless_uniform([256, 256], [1, 2]) + 1 / 3
    exact = product(x)
    set_precision("bfloat16")
    rounded = product(x)
    assert rounded.dtype == tf.float32 and float(rounded) != float(exact)
    np.testing.assert_allclose(rounded, exact, rtol=0.01)
    set_precision("float32")
    assert float(product(x)) == float(exact)


@pytest.mark.slow
def test_a_run_in_bfloat16_learns_as_one_in_float32_does(trained_run, dataset, tmp_path):
    run = str(tmp_path / "run")
    train(train_config(dataset, run, precision="bfloat16"))
    losses, expected = (
        [row["loss"] for row in read_metrics(x) if "seconds" in row] for x in (run, trained_run)
    )
    np.testing.assert_allclose(losses, expected, rtol=0.02)


def test_a_gpu_is_asked_for_by_name(dataset, tmp_path):
    config = train_config(dataset, str(tmp_path / "run"), precision="float16")
    with pytest.raises(InputError, match=r"--precision=float16 is for GPUs; .*bfloat16"):
        train(config)
    assert not (tmp_path / "run").exists()
