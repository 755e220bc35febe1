"""Captioners that people know by name, as flags.

A preset gives other defaults; a flag on the command line wins over it.
"""

from typing import Any

_TUTORIAL: dict[str, Any] = {
    "model": "merge",
    "join": "add",
    "units": 256,
    "embedding_units": 256,
    "annotation_units": 256,
    "annotation_dropout": 0.5,
    "embedding_dropout": 0.5,
    "output_dropout": 0.0,
    "schedule": "constant",
    "label_smoothing": 0.0,
    "average_decay": 0.0,
    "epochs": 20,
}

PRESETS: dict[str, dict[str, Any]] = {
    # The Keras tutorials' merge model on the layer before VGG16's classification.
    # Dataset: --encoder=vgg16 --features=pooled
    "vgg16_lstm": _TUTORIAL,
    # The same on ResNet50's average. Dataset: --encoder=resnet50 --features=pooled
    "resnet50_lstm": _TUTORIAL,
    # Bahdanau attention with a GRU of 512 on VGG16's convolutional grid, plain cross-entropy.
    # Dataset: --encoder=vgg16 --features=grid
    "icapnet": {
        "model": "attend",
        "cell": "gru",
        "units": 512,
        "embedding_units": 256,
        "annotation_units": 256,
        "attention_units": 512,
        "region_dropout": 0.0,
        "annotation_dropout": 0.5,
        "embedding_dropout": 0.0,
        "output_dropout": 0.0,
        "schedule": "constant",
        "label_smoothing": 0.0,
        "average_decay": 0.0,
        "epochs": 20,
    },
}
