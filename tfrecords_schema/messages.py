"""Messages of the functions: Python's logging, on the logger `beamcap`.

A program that imports beamcap sees them once it sets logging up. The commands print them.
"""

import logging

logger = logging.getLogger("beamcap")
logger.addHandler(logging.NullHandler())


class _Printer(logging.Handler):
    """Prints to whatever `sys.stdout` is at that time."""

    def emit(self, record: logging.LogRecord) -> None:
        print(record.getMessage(), flush=True)


def print_messages() -> None:
    """Prints the messages from now on, as commands do; it may be called again."""
    if not any(isinstance(handler, _Printer) for handler in logger.handlers):
        logger.addHandler(_Printer())
    logger.setLevel(logging.INFO)
    logger.propagate = False
