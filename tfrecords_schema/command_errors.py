"""Errors of the commands: one line for errors of the user or a disk, a stack trace for defects."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager

from tfrecords_schema import stop_signals
from tfrecords_schema.errors import InputError

INPUT_STATUS = 2


@contextmanager
def errors_told(
    kept: Callable[[], str] | None = None,
    statuses: Mapping[type[Exception], int] | None = None,
    explain: Callable[[Exception], str] | None = None,
) -> Iterator[None]:
    """Turns errors into one line on standard error, and ends the process; see `stop_signals.end`.

    The status is 2 for an InputError and for a disk error. Other errors may be defects and pass.

    Args:
      kept: returns what is kept of the work and what the same command does; also for signals.
      statuses: exit statuses of other errors, whose message is the line.
      explain: returns the line for a disk error, "" for other errors; default: `disk_failure`.
    """
    with ExitStack() as stack:
        if kept is not None:
            stack.enter_context(stop_signals.kept(kept))
        try:
            yield
        except InputError as error:
            line = explain(error) if explain else ""
            stop_signals.end(INPUT_STATUS, f"error: {line or error}")
        except Exception as error:
            for kind, status in (statuses or {}).items():
                if isinstance(error, kind):
                    stop_signals.end(status, f"error: {error}")
            if not (failure := (explain or _explain_disk)(error)):
                raise
            remedy = "; " + kept() if kept else ". Put that right and give the command again"
            stop_signals.end(INPUT_STATUS, f"error: {failure}{remedy}")


def _explain_disk(error: Exception) -> str:
    from tfrecords_schema.disk_failures import disk_failure  # imports TensorFlow

    return disk_failure(error)
