"""What `sys.stdout` and `sys.stderr` are while cells run.

Text is kept here and fetched by the wire's thread, so that printing costs no system call and the
short prints of one cell leave as one piece. More than `KEPT` characters are written into the pipe
that descriptor 1 (or 2) also is; the wire's thread empties the pipe first and fetches the kept
text then, so that all that was written to one stream stays in order, whoever wrote it.
"""

import io
import os
import threading
from collections import deque

from soulbox_kernel.protocol import sound

KEPT = 16 * 1024
"""Characters kept before they are written to the pipe. A pipe holds 64 KiB, so a fast writer is
slowed down to what the agent takes."""


class _Binary(io.RawIOBase):
    """`sys.stdout.buffer`: bytes go to the pipe, behind the text so far."""

    def __init__(self, stream):
        self._stream = stream

    def writable(self):
        return True

    def fileno(self):
        return self._stream.fileno()

    def write(self, data):
        data = bytes(data)
        self._stream.write_bytes(data)
        return len(data)

    def flush(self):
        self._stream.flush()


class Stream(io.TextIOBase):
    """A text stream whose far end is the agent.

    `number` is the descriptor that programs know (1 or 2). The one that is attached is our own of the same
    pipe: code that points descriptor 1 elsewhere does not take Python's output along.
    """

    encoding = "utf-8"
    errors = "replace"
    newlines = None
    line_buffering = False
    write_through = False

    def __init__(self, name, number):
        self.name = name
        self.keeping = False
        self._number = number
        self._pipe = -1
        self._pieces = deque()
        self._size = 0
        self._rest = b""
        self._lock = threading.RLock()
        self.buffer = _Binary(self)

    def attach(self, pipe):
        """From now on there is something to write to."""
        self._pipe = pipe

    def writable(self):
        return True

    def isatty(self):
        return False

    def fileno(self):
        return self._number

    @property
    def mode(self):
        return "w"

    def reconfigure(self, **_):
        """Accepted and ignored: the far end takes UTF-8 whatever is asked for."""

    def close(self):
        """Does nothing but flush: the next cell needs the stream."""
        self.flush()

    def write(self, text):
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        # A deque takes pieces from many threads at once without losing one.
        self._pieces.append(text)
        self._size += len(text)
        if not self.keeping or self._size >= KEPT:
            self.flush()
        return len(text)

    def write_bytes(self, data):
        """Puts bytes behind the text so far."""
        with self._lock:
            self.flush()
            self._rest = bytes(data)
            self.flush()

    def flush(self):
        """Writes what is kept into the pipe; waits while the pipe is full."""
        with self._lock:
            while self._rest or self._pieces:
                if not self._rest:
                    self._rest = memoryview(sound("".join(self._popped())).encode())
                # Cut after each write: an exception of a signal handler loses nothing.
                self._rest = self._rest[os.write(self._pipe, self._rest):]

    def fetch(self, drain):
        """Empties the pipe by `drain`, then gives the bytes and the text that come behind it.

        For the thread that reads the pipe. While it holds the lock nobody here writes to the pipe,
        so what is given is later than all that was drained. If a writer is at work nothing is
        given: it may be waiting for this thread to read.
        """
        if not self._lock.acquire(blocking=False):
            drain()
            return b"", ""
        try:
            drain()
            rest, self._rest = bytes(self._rest), b""
            return rest, "".join(self._popped())
        finally:
            self._lock.release()

    def leave(self):
        """In a forked child: forgets the parent's text and writes straight to the pipe."""
        self._lock = threading.RLock()
        self._pieces = deque()
        self._rest = b""
        self.keeping = False

    def _popped(self):
        self._size = 0
        return [self._pieces.popleft() for _ in range(len(self._pieces))]
