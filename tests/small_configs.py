"""Configurations of pipelines and trainings that take seconds."""

from pipeline.config import PipelineConfig
from trainer.config import ModelConfig, TrainConfig

SMALL = ModelConfig(
    embedding_units=16, units=32, attention_units=8, annotation_units=16,
    annotation_dropout=0.1, embedding_dropout=0.1, output_dropout=0.1,
)  # fmt: skip


def pipeline_config(pictures, directory, **changes):
    """A configuration for drawn pictures."""
    fields = dict(
        source="flickr8k", input=pictures, output=str(directory), encoder="tiny",
        images_per_shard=24, min_count=2, max_rejected=0.05,
    )  # fmt: skip
    return PipelineConfig(**{**fields, **changes})


def train_config(dataset, directory, **changes):
    """A configuration that trains in seconds."""
    fields = dict(
        data=dataset, run=str(directory), strategy="one", batch_size=8, epochs=2,
        learning_rate=3e-3, warmup_steps=0, model_config=SMALL,
    )  # fmt: skip
    return TrainConfig(**{**fields, **changes})


def multiworker_config(dataset, directory, **changes):
    """A configuration that each of several workers is given."""
    return train_config(dataset, directory, **{"strategy": "multiworker", **changes})
