"""Messages to the user: functions log them, and commands print them."""

import logging

logger = logging.getLogger("beamcap")
logger.addHandler(logging.NullHandler())  # a program that wants no messages sees none


class _Printer(logging.Handler):
    """Prints messages to the standard output of the moment; an error of writing is raised."""

    def emit(self, record: logging.LogRecord) -> None:
        print(self.format(record), flush=True)


def print_messages() -> None:
    """Prints the messages of level INFO and above, for a command; a second call changes nothing."""
    logger.setLevel(logging.INFO)
    logger.propagate = False  # or a root handler would write each message again
    if not any(isinstance(handler, _Printer) for handler in logger.handlers):
        logger.addHandler(_Printer())
