"""Errors that end a training or an export, other than bad input; see `trainer.stop_request`."""


class ExportError(Exception):
    """The captions of an export differ from the trainer's, or it cannot be run."""


class LostWorkerError(Exception):
    """Another worker of the run is gone."""
