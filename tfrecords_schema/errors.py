"""Errors with messages for the user."""

import re


class InputError(ValueError):
    """A flag, file or directory cannot be used.

    The message names it, shows the bad value and says what is valid. Commands print the message
    alone, without a stack trace, and exit with status 2.
    """


def one_line(error: Exception) -> str:
    """The message of an error, in one line.

    TensorFlow adds many lines about where in the graph an error occurred; only its reason is kept.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    reason = lines[0]
    if reason.startswith("Graph execution error"):
        # Locations come before the reason, the name of the node after it.
        after = next((i for i, line in enumerate(lines) if line.startswith("[[{{")), len(lines))
        reason = lines[after - 1]
    reason = re.sub(r"\{\{[^}]*\}\}", "", reason).split(" [Op:")[0]
    return reason.strip().removeprefix("assertion failed: ").strip()
