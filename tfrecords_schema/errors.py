"""The one error that means: what the user gave cannot be used."""


class InputError(ValueError):
    """A flag, file or directory that cannot be used.

    The message names it, shows the bad value and says what would be right. Commands print
    the message alone, without a stack trace, and exit with status 2.
    """
