"""Messages of the functions, on the logger `beamcap` of Python's logging.

A program that imports beamcap sees them once it configures logging. The commands print them.
"""

import logging

logger = logging.getLogger("beamcap")
logger.addHandler(logging.NullHandler())


class _Printer(logging.Handler):
    """Prints to the current `sys.stdout`."""

    def emit(self, record: logging.LogRecord) -> None:
        print(record.getMessage(), flush=True)


def print_messages() -> None:
    """Prints all later messages, as commands do; it may be called again."""
    if not any(isinstance(handler, _Printer) for handler in logger.handlers):
        logger.addHandler(_Printer())
    logger.setLevel(logging.INFO)
    logger.propagate = False
