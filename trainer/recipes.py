"""Recipes: the best known training settings of each captioner, and its scores with them.

A recipe is a function of a dataset, a run and changes. It returns the configuration of a training.
Changes override the recipe. They are fields of TrainConfig or of ModelConfig, by name.

    recipes.transformer("data", "run", epochs=8, units=256)
    beamcap train --recipe=transformer --data=data --run=run --epochs=8 --units=256

Scores are CIDEr on Flickr8k's dev split (1,000 images, trained on 6,000), with a MobileNetV2 grid.
`greedy` is greedy search, `beams` is five beams with the settings of `search`. They were measured
with --precision=bfloat16 on 2 cores of an AMD EPYC, shared with other work, or on one of the cores.
docs/benchmarks has every run.
"""

import dataclasses
import os
from collections.abc import Callable, Container
from typing import Any

from tfrecords_schema.errors import InputError
from tfrecords_schema.flags import flags_of
from trainer.config import ModelConfig, TrainConfig
from trainer.decoding.search_config import SearchConfig

_POOLED: dict[str, Any] = {  # for captioners that use one vector an image
    "schedule": "constant",
    "epochs": 16,
    "embedding_dropout": 0.3,
    "output_dropout": 0.3,
    "region_dropout": 0.25,
}
_TUTORIAL: dict[str, Any] = {  # plain cross-entropy at a constant rate
    "schedule": "constant",
    "warmup_steps": 0,
    "label_smoothing": 0.0,
    "average_decay": 0.0,
    "epochs": 20,
    "annotation_dropout": 0.5,
    "output_dropout": 0.0,
}

SELF_CRITICAL: dict[str, Any] = {  # added to the model settings of the initial run
    "objective": "self_critical",
    "epochs": 6,
    "max_words": 20,
    "learning_rate": 2e-4,
}


def attend(data: str, run: str, **changes: Any) -> TrainConfig:
    """Soft attention over the image before each word.

    Command: beamcap train --data=DATA --run=RUN --precision=bfloat16
    Time: 44 to 48 s an epoch on two cores, the best one after 7 to 9 of 12.
    Score: greedy 46.9 to 49.6, on average 48.4; beams 50.8 to 52.6, on average 52.0 (six runs of
      two seeds, two of them ended by hand after 8 epochs).
    Paper: Xu et al. 2015, Show, Attend and Tell, arXiv:1502.03044.
    """
    return _make(data, run, {}, changes)


def attend_after(data: str, run: str, **changes: Any) -> TrainConfig:
    """A recurrence over the words alone, whose output attends to the image.

    Command: beamcap train --recipe=attend_after --data=DATA --run=RUN --precision=bfloat16
    Time: 31 s an epoch on two cores; a step takes 0.60 to 0.75 of the time of one of `attend`.
    Score: greedy 47.8, beams 50.9, after 12 epochs (one run).
    Paper: Lu et al. 2017, Knowing When to Look, arXiv:1612.01887.
    """
    return _make(data, run, {"model": "attend_after"}, changes)


def transformer(data: str, run: str, **changes: Any) -> TrainConfig:
    """One layer of self-attention over the words and of attention to the image.

    Command: beamcap train --recipe=transformer --data=DATA --run=RUN --precision=bfloat16
    Time: 65 to 97 s an epoch on one core; a step takes 0.75 of the time of one of `attend`.
    Score: greedy 47.5 to 48.4, on average 48.1; beams 50.5 to 52.5, on average 51.8 (three runs of
      two seeds; one was continued after 10 epochs, one ended by hand after 14 of 16).
    Paper: Vaswani et al. 2017, Attention Is All You Need, arXiv:1706.03762.
    """
    own = {
        "model": "transformer",
        "schedule": "constant",
        "warmup_steps": 300,
        "epochs": 16,
        "embedding_dropout": 0.3,
        "layer_dropout": 0.2,
        "word_dropout": 0.3,
    }
    return _make(data, run, own, changes)


def merge(data: str, run: str, **changes: Any) -> TrainConfig:
    """A recurrence over the words alone, which is added to one vector of the image.

    Command: beamcap train --recipe=merge --data=DATA --run=RUN --precision=bfloat16
    Time: 43 s an epoch on one core.
    Score: greedy 42.7, beams 47.0, at its best after 11 epochs (one run, ended by hand after 15).
      With the values of `attend` greedy had 40.1.
    Paper: Tanti et al. 2018, Where to put the Image in an Image Caption Generator,
      arXiv:1703.09137.
    """
    return _make(data, run, {"model": "merge", **_POOLED}, changes)


def inject(data: str, run: str, **changes: Any) -> TrainConfig:
    """A recurrence whose first input is the image.

    Command: beamcap train --recipe=inject --data=DATA --run=RUN --precision=bfloat16
    Time: 40 s an epoch on one core.
    Score: greedy 39.4, beams 41.7, at its best after 12 epochs (one run, ended by hand after 13).
      With the values of `attend` greedy had 36.0.
    Paper: Vinyals et al. 2015, Show and Tell, arXiv:1411.4555.
    """
    return _make(data, run, {"model": "inject", **_POOLED}, changes)


def vgg16_lstm(data: str, run: str, **changes: Any) -> TrainConfig:
    """The merge model of the Keras tutorials, on the layer before VGG16's classification.

    Dataset: beamcap build --encoder=vgg16 --features=pooled
    Command: beamcap train --recipe=vgg16_lstm --data=DATA --run=RUN
    Time: 944 captions/s on 2 cores of an Intel Xeon with AMX, with 8,764 words.
    Score: not measured.
    Paper: Tanti et al. 2018, Where to put the Image in an Image Caption Generator,
      arXiv:1703.09137.
    """
    sizes = {"units": 256, "embedding_units": 256, "annotation_units": 256}
    own = {"model": "merge", **_TUTORIAL, **sizes, "embedding_dropout": 0.5}
    return _make(data, run, own, changes)


def resnet50_lstm(data: str, run: str, **changes: Any) -> TrainConfig:
    """The merge model of the Keras tutorials, on the mean of ResNet50's grid.

    Dataset: beamcap build --encoder=resnet50 --features=pooled
    Command: beamcap train --recipe=resnet50_lstm --data=DATA --run=RUN
    Time: not measured.
    Score: not measured.
    Paper: Tanti et al. 2018, Where to put the Image in an Image Caption Generator,
      arXiv:1703.09137.
    """
    return vgg16_lstm(data, run, **changes)


def icapnet(data: str, run: str, **changes: Any) -> TrainConfig:
    """Attention with a GRU on VGG16's convolutional grid.

    Dataset: beamcap build --encoder=vgg16 --features=grid
    Command: beamcap train --recipe=icapnet --data=DATA --run=RUN
    Time: 417 captions/s on 2 cores of an Intel Xeon with AMX (64 regions, 5 captions an image).
    Score: not measured.
    Paper: Xu et al. 2015, Show, Attend and Tell, arXiv:1502.03044, with the attention of Bahdanau
      et al. 2014, arXiv:1409.0473.
    """
    own = {
        "model": "attend",
        **_TUTORIAL,
        "cell": "gru",
        "embedding_units": 256,
        "annotation_units": 256,
        "attention_units": 512,
        "region_dropout": 0.0,
        "embedding_dropout": 0.0,
    }
    return _make(data, run, own, changes)


def self_critical(data: str, run: str, **changes: Any) -> TrainConfig:
    """A second stage: a trained captioner learns from the CIDEr of its own captions.

    It takes the kind and the sizes of the model from the configuration of `initial_run`, which it
    reads, unless they are among the changes.

    Command: beamcap train --recipe=self_critical --initial_run=RUN --data=DATA --run=RUN2
      --precision=bfloat16
    Time: 75 s an epoch of `attend` on two cores, 49 s of `attend_after`; 163 s of `transformer`
      on one core.
    Score: from `attend` (greedy 48.8, beams 52.6) greedy 52.8, beams 53.7, at its best after 5 of 6
      epochs; from two seeds of `transformer` greedy 53.8 and 52.8, beams 54.0 and 52.1; from
      `attend_after` with word dropout (greedy 47.0, beams 51.1) greedy 50.3, beams 51.7.
    Paper: Rennie et al. 2017, Self-critical Sequence Training for Image Captioning,
      arXiv:1612.00563; the baseline is that of Luo 2020, arXiv:2003.09971.

    Raises:
      InputError: the initial run is missing, or its configuration is damaged.
    """
    own = dict(SELF_CRITICAL)
    if first := _first_config(changes.get("initial_run", ""), run):
        own |= {"model": first.model}
        own |= {name: getattr(first.model_config, name) for name in flags_of(ModelConfig)}
    if changes.get("model", own.get("model")) == "attend_after":
        own["learning_rate"] = 1e-4  # 2e-4 improved it less
    return _make(data, run, own, changes)


RECIPES: dict[str, Callable[..., TrainConfig]] = {
    recipe.__name__: recipe
    for recipe in (
        attend, attend_after, transformer, merge, inject,
        vgg16_lstm, resnet50_lstm, icapnet, self_critical,
    )
}  # fmt: skip


def choose(recipe: str, changes: dict[str, Any]) -> Callable[..., TrainConfig]:
    """The recipe of a command line.

    Args:
      recipe: its name. If it is empty, an objective with a recipe decides, else the model.
      changes: the other given flags.

    Raises:
      InputError: the objective is a recipe of its own, other than `recipe`.
    """
    objective = changes.get("objective", "")
    if recipe and objective in RECIPES and objective != recipe:
        raise InputError(
            f"--recipe={recipe} does not go with --objective={objective}, which is a recipe too "
            "and takes the model of --initial_run: leave --recipe out"
        )
    names = (recipe, objective, changes.get("model", ""), attend.__name__)
    return next(RECIPES[name] for name in names if name in RECIPES)


def search(config: TrainConfig, **changes: Any) -> SearchConfig:
    """The default search settings for a trained model.

    Beams of `transformer` need a preference for longer captions than other models: its recipe's
    mean CIDEr is 51.8 at a length penalty of 1.25 and 51.4 at 1. After self-critical training only
    1 was measured.

    Args:
      config: the configuration of the run.
      **changes: fields of SearchConfig, which override the defaults.
    """
    is_transformer = config.model == "transformer" and config.objective == "cross_entropy"
    return SearchConfig(**{**({"length_penalty": 1.25} if is_transformer else {}), **changes})


def _make(data: str, run: str, own: dict[str, Any], changes: dict[str, Any]) -> TrainConfig:
    """The configuration from a recipe's own values and from changes; both may hold model sizes."""
    sizes = flags_of(ModelConfig)
    model_config = changes.get("model_config") or ModelConfig(**_only(own, sizes))
    values = {name: value for name, value in (own | changes).items() if name not in sizes}
    values["model_config"] = dataclasses.replace(model_config, **_only(changes, sizes))
    return TrainConfig(data, run, **values)


def _only(values: dict[str, Any], names: Container[str]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name in names}


def _first_config(initial_run: str, run: str) -> TrainConfig | None:
    """The configuration of the initial run; if that is gone, of the run that started from it."""
    if not initial_run:
        return None  # TrainConfig raises the error that it is needed
    import tensorflow as tf  # imported late, so that listing the recipes needs no TensorFlow

    from trainer.runs.run_config import CONFIG_FILE, read_config

    initial_run, run = os.path.expanduser(initial_run), os.path.expanduser(run)
    has_first, has_own = (
        tf.io.gfile.exists(os.path.join(directory, CONFIG_FILE)) for directory in (initial_run, run)
    )
    if has_own and not has_first:
        return read_config(run)[0]
    return read_config(initial_run, "initial_run")[0]
