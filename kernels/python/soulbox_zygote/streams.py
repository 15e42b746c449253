"""The standard streams of a child, as Python makes them when it starts.

They are made in the zygote, over pipes: most children's descriptors are pipes or sockets too, and a
stream holds the number only. For files and terminals, of which a stream knows more, they are made
anew.
"""

import io
import os
import stat
import sys

NAMES = ("stdin", "stdout", "stderr")


def make(number, unbuffered=False):
    """The stream of descriptor `number`, as Python's start makes it (`create_stdio`)."""
    writes = number != 0
    mode = "w" if writes else "r"
    buffering = 0 if unbuffered and writes else -1
    buffer = open(number, mode + "b", buffering, closefd=False)
    raw = getattr(buffer, "raw", buffer)
    raw.name = f"<{NAMES[number]}>"
    terminal = raw.isatty()
    text = io.TextIOWrapper(
        buffer,
        encoding="utf-8",
        errors="backslashreplace" if number == 2 else "surrogateescape",
        newline="\n",
        line_buffering=not unbuffered and (number == 2 or terminal),
        write_through=unbuffered,
    )
    text.mode = mode
    return text


def prepare():
    """The three streams for descriptors that are pipes or sockets."""
    kept = [os.dup(number) for number in range(3)]
    read, write = os.pipe()
    try:
        os.dup2(read, 0)
        os.dup2(write, 1)
        os.dup2(write, 2)
        return [make(number) for number in range(3)]
    finally:
        for number, descriptor in enumerate(kept):
            os.dup2(descriptor, number)
            os.close(descriptor)
        os.close(read)
        os.close(write)


def use(ready):
    """Makes those that were prepared the standard streams: here, so that a child need not."""
    for name, stream in zip(NAMES, ready):
        _set(name, stream)


def set_up(ready, unbuffered=False):
    """Makes `sys.stdin`, `sys.stdout` and `sys.stderr` those of the descriptors 0, 1 and 2."""
    for number, name in enumerate(NAMES):
        plain = not unbuffered and is_stream(number)
        stream = ready[number] if plain else make(number, unbuffered)
        if getattr(sys, name) is not stream:
            _set(name, stream)


def is_stream(number):
    """Whether the descriptor is a pipe or a socket."""
    mode = os.fstat(number).st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def _set(name, stream):
    setattr(sys, name, stream)
    setattr(sys, f"__{name}__", stream)
