"""How a cell fails: the one error of a cell, bounded and in IPython's words."""

import sys
import traceback

NAME_LIMIT = 1024
"""Characters of an exception's name."""

VALUE_LIMIT = 256 * 1024
"""Characters of an exception's text."""

TRACEBACK_LIMIT = 1024 * 1024
"""Characters of a traceback."""


class CellExit(BaseException):
    """`exit()` or `quit()` was called: the cell ends, nothing is reported."""


def clipped(text, limit):
    """`text`, with its middle left out if it is longer than `limit` characters."""
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}\n[... {len(text) - 2 * half} characters left out ...]\n{text[-half:]}"


def text_of(value):
    """`str(value)`, whatever the exception class does."""
    try:
        return str(value)
    except Exception as error:
        return f"<{type(value).__name__} whose text cannot be made: {type(error).__name__}>"


def has_group(value):
    """Whether an exception, or one it happened during, is a group."""
    seen = set()
    while value is not None and id(value) not in seen:
        if isinstance(value, BaseExceptionGroup):
            return True
        seen.add(id(value))
        value = value.__context__
    return False


def native_lines(etype, value, tb):
    """Python's own traceback, without the frames of IPython and this package."""
    while tb is not None and "<ipython-input-" not in tb.tb_frame.f_code.co_filename:
        tb = tb.tb_next
    return traceback.format_exception(etype, value, tb)


class Report:
    """The error of the running cell: the first is told, those after it are not."""

    def __init__(self):
        self._wire = None
        self.reported = False
        self.muted = False

    def begin(self, wire):
        """A new cell runs, whose error goes to `wire`."""
        self._wire = wire
        self.reported = False
        self.muted = False

    def tell(self, name, value, lines):
        """Reports an error; `lines` are the parts of its traceback."""
        if self.muted or self.reported or self._wire is None:
            return
        self.reported = True
        if self._wire.left:
            # A forked child has no conversation of its own.
            print("".join(lines), file=sys.stderr)
            return
        self._wire.error(
            clipped(name, NAME_LIMIT),
            clipped(value, VALUE_LIMIT),
            clipped("".join(lines), TRACEBACK_LIMIT),
        )

    def tell_exception(self, error):
        """Reports an exception that IPython did not show."""
        self.tell(type(error).__name__, text_of(error), native_lines(type(error), error, error.__traceback__))
