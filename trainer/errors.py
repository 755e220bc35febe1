"""What ends a training or an export and is no bad input; see also `trainer.stop_request`."""


class ExportError(Exception):
    """An export that does not caption pictures as the trainer does."""


class LostWorkerError(Exception):
    """Another worker of the run is gone."""
