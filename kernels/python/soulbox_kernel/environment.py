"""Environment variables, set in the process itself and never by code in front of the user's."""

import os
import time


class Environment:
    """Variables for the time of one cell; what was before is back afterwards."""

    def __init__(self, values):
        self._values = values
        self._before = {}

    def __enter__(self):
        check(self._values)
        self._before = {name: os.environ.get(name) for name in self._values}
        assign(self._values)
        return self

    def __exit__(self, *_):
        assign(self._before)


def check(values):
    """Raises ValueError if one of the variables cannot be."""
    for name, value in values.items():
        if not isinstance(value, (str, type(None))):
            raise ValueError(f"the value of variable {name!r} must be text")
        if not name or "=" in name or "\0" in name + (value or ""):
            raise ValueError(f"variable {name!r} cannot be set: names have no '=', and neither part a NUL")
        os.fsencode(name + (value or ""))


def assign(values):
    """Sets variables; None takes one away. All of them, or none: raises ValueError as `check`."""
    check(values)
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    if "TZ" in values:
        time.tzset()
