"""What lies in a run: its configuration, and how to load the model that it trained.

RUN/config.json        flags, model sizes, fingerprints of the dataset
RUN/checkpoints/       to continue from
RUN/best/              the weights with the best validation CIDEr
RUN/metrics.jsonl, RUN/tensorboard/, RUN/plots/
"""

import dataclasses
import json
import os
import tempfile
from collections.abc import Callable

import keras
import tensorflow as tf

from tfrecords_schema.atomic_file import complete_or_absent, read_text, write_text
from tfrecords_schema.errors import InputError, one_line
from tfrecords_schema.manifest import (
    ENCODER_KERAS_FILE,
    VOCABULARY_FILE,
    Manifest,
    check_dataset,
    read_manifest,
)
from tfrecords_schema.vocabulary import Vocabulary, read_vocabulary
from trainer.checkpoints import read_variables, variables_checkpoint
from trainer.config import ModelConfig, TrainConfig
from trainer.models.attend import Attend
from trainer.models.attend_after import AttendAfter
from trainer.models.captioner import Captioner
from trainer.models.inject import Inject
from trainer.models.merge import Merge
from trainer.models.transformer import Transformer
from trainer.models.with_encoder import WithEncoder

MODELS: dict[str, Callable[..., Captioner]] = {
    "attend": Attend,
    "attend_after": AttendAfter,
    "merge": Merge,
    "inject": Inject,
    "transformer": Transformer,
}
CONFIG_FILE = "config.json"
BEST_DIRECTORY = "best"
# of the pipeline; what makes an image's features, a file standing for itself by its SHA-256
ENCODER_SETTINGS = (
    "encoder", "encoder_weights", "encoder_seed", "encoder_layer", "image_size", "resize"
)  # fmt: skip
MAY_CHANGE = {"data", "run", "strategy", "patience"}  # without another training


@dataclasses.dataclass(frozen=True)
class TrainedRun:
    """A run's best model and what it needs."""

    config: TrainConfig
    manifest: Manifest
    vocabulary: Vocabulary
    model: Captioner


def claim_run(config: TrainConfig, manifest: Manifest) -> None:
    """Writes the configuration into a new run, or checks that a begun one has the same.

    Raises:
      InputError: the run was begun with other flags or on another dataset; names what differs.
    """
    path = os.path.join(config.run, CONFIG_FILE)
    fields = {**dataclasses.asdict(config), "dataset": manifest.fingerprints()}
    if not tf.io.gfile.exists(path):
        if tf.io.gfile.exists(config.run) and not tf.io.gfile.isdir(config.run):
            raise InputError(f"--run: {config.run} is a file, it must be a directory")
        if tf.io.gfile.exists(config.run) and tf.io.gfile.listdir(config.run):
            raise InputError(
                f"--run: {config.run} is not empty and holds no run: give a new or empty directory"
            )
    else:
        before = flatten(json.loads(read_text(path)))
        now = flatten(fields)
        differences = [
            f"{name} was {before.get(name)!r} and is {now.get(name)!r}"
            for name in sorted(before.keys() | now.keys())
            if before.get(name) != now.get(name) and name not in MAY_CHANGE
        ]
        if differences:
            raise InputError(
                f"--run: {config.run} was begun with another configuration: "
                f"{'; '.join(differences)}. Give the same flags to continue it, or a new directory"
            )
    try:
        write_text(path, json.dumps(fields, indent=2) + "\n")
    except (OSError, tf.errors.OpError) as error:
        raise InputError(f"--run: {config.run} cannot be written to: {one_line(error)}") from error


def read_config(run: str, flag: str = "run") -> tuple[TrainConfig, dict[str, str]]:
    """The configuration of a run and the fingerprints of the dataset it was trained on."""
    path = os.path.join(run, CONFIG_FILE)
    if not tf.io.gfile.exists(path):
        raise InputError(f"--{flag}: {run} has no {CONFIG_FILE}: it is no beamcap run")
    fields = json.loads(read_text(path))
    fingerprints = fields.pop("dataset")
    model_config = ModelConfig(**fields.pop("model_config"))
    return TrainConfig(**fields, model_config=model_config), fingerprints


def load_run(run: str, data: str = "") -> TrainedRun:
    """Loads the best model of a run.

    Args:
      run: its directory.
      data: the dataset, where it has moved since training.

    Raises:
      InputError: no trained run is there, or the dataset is not the one it was trained on.
    """
    config, fingerprints = read_config(run)
    config = dataclasses.replace(config, run=run, data=data or config.data)
    manifest = read_manifest(config.data)
    check_dataset(config.data, manifest)
    for name, value in manifest.fingerprints().items():
        if value != fingerprints[name]:
            raise InputError(
                f"--data: {config.data} is not what {run} was trained on: its {name} is {value}, "
                f"the run's is {fingerprints[name]}"
            )
    best = os.path.join(run, BEST_DIRECTORY, "weights")
    if not tf.io.gfile.exists(f"{best}.index"):
        raise InputError(f"--run: {run} has no best weights yet: train it for an epoch first")
    vocabulary = read_vocabulary(os.path.join(config.data, VOCABULARY_FILE))
    model = make_model(config, manifest)
    read_variables(variables_checkpoint(model=model.weights), best)
    return TrainedRun(config, manifest, vocabulary, model)


def make_model(config: TrainConfig, manifest: Manifest) -> Captioner:
    """The captioner of a run, with fresh weights."""
    model, size = MODELS[config.model], manifest.vocabulary_size
    if not manifest.has_images():
        return model(config.model_config, size, manifest.feature_shape()[-1])
    encoder = read_encoder(config.data)
    return WithEncoder(encoder, model(config.model_config, size, encoder.output_shape[-1]))


def read_encoder(data: str) -> keras.Model:
    """The dataset's CNN: float32 [batch, side, side, 3] in [0, 255] to its grid."""
    path = os.path.join(data, ENCODER_KERAS_FILE)
    if not tf.io.gfile.exists(path):
        raise InputError(f"--data: {path} is missing: a dataset of images is trained with its CNN")
    with tempfile.TemporaryDirectory() as folder:
        local = os.path.join(folder, ENCODER_KERAS_FILE)  # Keras reads local files
        tf.io.gfile.copy(path, local)
        return keras.models.load_model(local, compile=False)


def start_from_run(model: Captioner, config: TrainConfig) -> None:
    """Gives `model` the best weights of `config.initial_run`.

    A run on features is also a start for a model of images that has the CNN which made them: its
    weights are then those of the captioner.

    Raises:
      InputError: that run is not there, is of another dataset, or of a model of other weights.
    """
    manifest = read_manifest(config.data)
    first, fingerprints = read_config(config.initial_run, "initial_run")
    if isinstance(model, WithEncoder) and fingerprints != manifest.fingerprints():
        trained, model = load_run(config.initial_run), model.captioner
        _check_same_encoder(config, manifest, trained)
    else:
        trained = load_run(config.initial_run, config.data)
    ours, theirs = ([(w.path, tuple(w.shape)) for w in m.weights] for m in (model, trained.model))
    if ours != theirs:
        raise InputError(
            f"--initial_run: {config.initial_run} has a model of other weights; it was trained "
            f"with --model={first.model} and {first.model_config}"
        )
    for weight, value in zip(model.weights, trained.model.weights, strict=True):
        weight.assign(value)


def _check_same_encoder(config: TrainConfig, images: Manifest, trained: TrainedRun) -> None:
    """That the features of a run are those that the CNN of a dataset of images makes."""
    settings = []
    for manifest in (trained.manifest, images):
        by_name = manifest.config
        settings.append(
            {"vocabulary": manifest.vocabulary_sha256}
            | {name: by_name.get(f"{name}_sha256", by_name[name]) for name in ENCODER_SETTINGS}
        )
    differences = [
        f"its {name} is {value!r}, that of --data {settings[1][name]!r}"
        for name, value in settings[0].items()
        if value != settings[1][name]
    ]
    if differences:
        raise InputError(
            f"--initial_run: {config.initial_run} was trained on another dataset: "
            f"{'; '.join(differences)}"
        )


def write_best(run: str, model: Captioner) -> None:
    """Makes `model` the best of the run."""
    with complete_or_absent(os.path.join(run, BEST_DIRECTORY)) as temporary:
        variables_checkpoint(model=model.weights).write(os.path.join(temporary, "weights"))


def flatten(fields: dict) -> dict:
    """{"a": {"b": 1}} -> {"a.b": 1}."""
    flat = {}
    for name, value in fields.items():
        if isinstance(value, dict):
            flat.update({f"{name}.{inner}": v for inner, v in flatten(value).items()})
        else:
            flat[name] = value
    return flat
