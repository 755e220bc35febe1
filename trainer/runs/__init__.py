"""The files of a run: configuration, checkpoints, log, best weights."""
