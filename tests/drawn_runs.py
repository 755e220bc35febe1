"""Runs whose weights are drawn, not trained, of each family of captioners."""

import numpy as np
from small_configs import train_config

from tfrecords_schema.dataset import open_dataset
from trainer.decoding.search_config import SearchConfig
from trainer.models.make_model import make_model
from trainer.runs.best_weights import write_best
from trainer.runs.run_directory import claim_run

SEARCH = SearchConfig(beam_width=3, max_words=12, length_penalty=0.0)
RECURRENT = dict(units=32, embedding_units=16, annotation_units=16)
FAMILIES = {
    "attend": dict(**RECURRENT, attention_units=8, cell="gru", layers=2),
    "attend_after": dict(**RECURRENT, attention_units=8, tied_embeddings=True),
    "merge": dict(**RECURRENT, join="concat"),
    "inject": dict(**RECURRENT, inject="every", layers=2),
    "transformer": dict(units=16, heads=4, feed_forward_units=32, layers=2),
}


def write_run(data, run, **changes):
    """A run whose best weights are drawn."""
    config = train_config(data, run, **changes)
    dataset = open_dataset(data)
    manifest = dataset.manifest
    claim_run(config, dataset)
    model = make_model(config, dataset)
    draws = np.random.default_rng(6)
    captioner = model.captioner if manifest.has_images() else model
    for weight in captioner.trainable_weights:
        weight.assign(draws.normal(0, 0.5 if len(weight.shape) > 1 else 0.1, weight.shape))
    if manifest.has_images():
        for weight in model.encoder.trainable_weights:  # a CNN that has learned
            weight.assign(weight * draws.uniform(0.5, 1.5, weight.shape))
    write_best(config.run, model)
    return config.run
