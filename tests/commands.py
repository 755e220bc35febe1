"""What a command says to arguments that it refuses."""

import pytest


def complaint(main, capsys, *arguments):
    """What the command `main` prints for arguments that it refuses, with status 2 and no trace."""
    with pytest.raises(SystemExit) as stopped:
        main(list(arguments))
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert "Traceback" not in error
    return error
