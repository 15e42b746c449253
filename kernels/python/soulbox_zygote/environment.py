"""A process's environment, given when it runs already."""

import os
import sys
import time

HANDLED = {"PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "PYTHONSAFEPATH"}
"""Variables of Python's that can still be obeyed. Others are for its start."""

C_LOCALES = {"", "C", "POSIX", "C.UTF-8", "C.utf8"}
"""Locales with which Python's streams are as they are here: UTF-8, with any other byte escaped."""


def needs_start(env):
    """Whether Python must be started anew, since it reads some of `env` only then."""
    for name in env:
        if name.startswith("PYTHON") and name not in HANDLED:
            return True
    return locale(env) not in C_LOCALES


def locale(env):
    """The locale of characters: the first of these that is not empty (setlocale(3))."""
    return env.get("LC_ALL") or env.get("LC_CTYPE") or env.get("LANG") or ""


def clear():
    """Takes all variables away."""
    os.environ.clear()


def replace(env):
    """Makes `env` the environment."""
    if os.environ:
        os.environ.clear()
    for name, value in env.items():
        os.environ[name] = value
    # As Python does when it starts in the C locale (PEP 538).
    if not env.get("LC_ALL") and locale(env) in ("", "C", "POSIX"):
        os.environ["LC_CTYPE"] = "C.UTF-8"
    if "TZ" in env:
        time.tzset()
    sys.dont_write_bytecode = bool(env.get("PYTHONDONTWRITEBYTECODE"))
    backend = env.get("MPLBACKEND")
    if backend:
        _choose_backend(backend)


def _choose_backend(name):
    # matplotlib reads the variable when it is imported.
    matplotlib = sys.modules.get("matplotlib")
    if matplotlib is not None:
        try:
            matplotlib.rcParams["backend"] = name
        except ValueError as error:
            print(f"MPLBACKEND: {error}", file=sys.stderr)
