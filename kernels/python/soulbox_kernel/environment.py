"""Environment variables, set in the process itself and never by code in front of the user's."""

import os
import time


class Environment:
    """Variables for the time of one cell; what was before is back afterwards."""

    def __init__(self, values):
        self._values = values
        self._before = {}

    def __enter__(self):
        try:
            for name, value in self._values.items():
                before = os.environ.get(name)
                assign({name: value})
                self._before[name] = before
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        assign(self._before)


def assign(values):
    """Sets variables; None takes one away. Raises ValueError for what no variable can be."""
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        elif not isinstance(value, str):
            raise ValueError(f"the value of variable {name!r} must be text")
        elif not name or "=" in name or "\0" in name or "\0" in value:
            raise ValueError(f"variable {name!r} cannot be set: names have no '=', and neither part a NUL")
        else:
            os.environ[name] = value
    if "TZ" in values:
        time.tzset()
