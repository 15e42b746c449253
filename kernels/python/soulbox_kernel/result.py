"""Values on their way to the agent: MIME bundles that fit into a frame."""

import base64
import sys

from IPython.core.displayhook import DisplayHook

from soulbox_kernel.plain import NotPlain, plain
from soulbox_kernel.protocol import FRAME_LIMIT, FrameTooLarge

BINARY = ("image/png", "image/jpeg", "image/gif", "application/pdf")
"""Types whose text is base64."""

STRUCTURED = ("e2b/data", "application/json")
"""Forms that a too large result can do without, since it has others."""


def bundle(data):
    """A MIME bundle as JSON: bytes become base64, structures plain, others text."""
    clean = {}
    for mime, value in data.items():
        if isinstance(value, (bytes, bytearray, memoryview)):
            clean[str(mime)] = base64.b64encode(value).decode("ascii")
        elif isinstance(value, str):
            # Older versions of IPython break base64 into lines.
            clean[str(mime)] = "".join(value.split()) if mime in BINARY else str(value)
        elif value is not None:
            try:
                clean[str(mime)] = plain(value, otherwise=str)
            except NotPlain as error:
                note(f"the {mime} form of a result was left out: it {error}")
    return clean


def note(text):
    """Tells the user something about a result on the cell's standard error."""
    print(f"soulbox: {text}", file=sys.stderr)


def send(shell, data, is_main):
    """Sends a value. One that is too large is the cell's error instead; the cell goes on."""
    clean = bundle(data)
    if not clean:
        return
    wire = shell.wire
    if wire is None or wire.left:
        # A forked child has no conversation of its own: what it shows is text.
        print(clean.get("text/plain", ""))
        return
    try:
        _send_fitting(wire, clean, is_main)
    except FrameTooLarge as error:
        value = (f"a result of {error.size} bytes is larger than {FRAME_LIMIT} bytes; "
                 "show a part of it, or write it to a file")
        shell.report.tell("ResultTooLarge", value, [value])


def _send_fitting(wire, clean, is_main):
    try:
        _send_whole(wire, clean, is_main)
    except FrameTooLarge as error:
        smaller = {mime: value for mime, value in clean.items() if mime not in STRUCTURED}
        if not smaller or len(smaller) == len(clean):
            raise
        note(f"a result of {error.size} bytes is larger than {FRAME_LIMIT} bytes; only its text forms are shown")
        _send_whole(wire, smaller, is_main)


def _send_whole(wire, clean, is_main):
    size = sum(len(value) for value in clean.values() if isinstance(value, str))
    if size > FRAME_LIMIT:
        raise FrameTooLarge(size)
    wire.result(clean, is_main)


class ResultHook(DisplayHook):
    """What IPython calls with the value of a cell's last expression."""

    def write_output_prompt(self):
        """No prompt: the agent tells results from output."""

    def write_format_data(self, format_dict, md_dict=None):
        send(self.shell, format_dict, is_main=True)

    def log_output(self, format_dict):
        """Keeps no copy of what was shown; `Out` has the values themselves."""

    def finish_displayhook(self):
        self._is_active = False
