"""Questions to a user who is not there: `input()` and `getpass()` fail at once and say why."""

import builtins
import getpass

from IPython.core.error import StdinNotImplementedError


def _refuse(name):
    def ask(*_, **__):
        raise StdinNotImplementedError(
            f"{name} was called, but cells have no standard input; give the value in the code")

    ask.__name__ = name
    return ask


def refuse():
    """Replaces what asks."""
    builtins.input = _refuse("input")
    getpass.getpass = _refuse("getpass")
