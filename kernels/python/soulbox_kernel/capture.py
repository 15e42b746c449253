"""The far end of one stream: gathers what was written, and says when which piece is to be sent.

Only the wire's thread uses it.
"""

import array
import codecs
import fcntl
import os
import termios
import time

from soulbox_kernel.protocol import PIECE_LIMIT, sound

GATHER = 0.025
"""Seconds that output waits for more of it, so that short prints stay together."""

CHUNK = 64 * 1024
"""Bytes of one read, the size of a pipe."""


class Capture:
    """Output of one stream: `pipe` is the read end, once there is one; `stream` keeps what Python wrote."""

    def __init__(self, name, stream):
        self.name = name
        self.pipe = -1
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._text = []
        self._size = 0
        self._since = None

    def attach(self, pipe):
        """From now on there is something to read."""
        self.pipe = pipe

    @property
    def waiting(self):
        """Whether something was gathered and not sent."""
        return self._since is not None

    def keep(self, keeping):
        """Whether the stream keeps what is printed, because somebody looks for it while a cell runs."""
        self._stream.keeping = keeping

    def _add(self, text):
        if text:
            self._text.append(text)
            self._size += len(text)
            if self._since is None:
                self._since = time.monotonic()

    def read(self):
        """Takes at most `CHUNK` bytes of the pipe, whose read end does not block."""
        try:
            self._add(self._decoder.decode(os.read(self.pipe, CHUNK)))
        except BlockingIOError:
            pass

    def fetch(self):
        """Takes what is in the pipe by now, then what the stream keeps."""
        data, text = self._stream.fetch(self._drain)
        self._add(self._decoder.decode(data) + sound(text))

    def _drain(self):
        left = array.array("i", [0])
        fcntl.ioctl(self.pipe, termios.FIONREAD, left)
        while left[0] > 0:
            data = os.read(self.pipe, min(CHUNK, left[0]))
            left[0] -= len(data)
            self._add(self._decoder.decode(data))

    def due(self, now):
        """Pieces whose time has come. The start of a line waits for its end once more."""
        if self._since is None or (now - self._since < GATHER and self._size < PIECE_LIMIT):
            return []
        text = "".join(self._text)
        cut = text.rfind("\n") + 1 or len(text)
        self._keep(text[cut:], now)
        return _cut(text[:cut])

    def all(self, final):
        """All pieces; with `final` also half a character that nobody will complete."""
        self._add(self._decoder.decode(b"", final=final))
        text = "".join(self._text)
        self._keep("", None)
        return _cut(text)

    def _keep(self, text, now):
        self._text = [text] if text else []
        self._size = len(text)
        self._since = now if text else None


def _cut(text):
    return [text[at:at + PIECE_LIMIT] for at in range(0, len(text), PIECE_LIMIT)]
