"""The Java machine of a kernel: how it is started, told what to do, heard and ended.

Both ways are pipes of frames: one byte that says what it is, then the fields of that kind, each
either a number of 4 bytes, big-endian, or a text: its length in bytes as such a number (-1 for none)
and that many bytes of UTF-8. `src/soulbox/Talk.java` is the other side.

    E  number serial, number count, number n, n times (name, value): run `code`; last the text `code`
    P  number n, n times (name, value): set properties from now on; none takes one away
    D  text path: the property `user.dir`
    I  number serial: interrupt that cell

    R  text value: what the last expression of the cell gives
    X  text name, text value, text traceback: an error
    E  end of what was asked for last; once at the start
"""

import fcntl
import os
import signal
import struct
import subprocess

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

ORDERS, NEWS = 195, 199
"""Descriptors in the Java machine, which opens them by their names in /proc: it has no other way to them."""

NUMBER = struct.Struct(">i")

FIELDS = {b"R": 1, b"X": 3, b"E": 0}
"""How many texts what it says has."""

OPTIONS = (
    # Classes that are loaded already, as they were when the kernel was built.
    "-Xshare:auto", f"-XX:SharedArchiveFile={HERE}/kernel.jsa",
    # Starts sooner and takes less than those for many processors.
    "-XX:+UseSerialGC",
    # No files in /tmp for tools that look at Java machines, and none in the directory where it crashes.
    "-XX:-UsePerfData", "-XX:ErrorFile=/dev/null",
    # Warnings of its own go to standard output, where a user's output is.
    "-Xlog:disable",
    "-Djava.awt.headless=true", "-Dfile.encoding=UTF-8",
)


class Machine:
    """One Java machine. `output` and `errors` are descriptors of pipes that cells write into."""

    def __init__(self, output, errors):
        orders, self._orders = os.pipe2(os.O_CLOEXEC)
        self.news, news = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        # The writing end that it gets must wait when the pipe is full.
        fcntl.fcntl(news, fcntl.F_SETFL, 0)
        self._serial = 0
        self._rest = bytearray()
        self._process = _spawn({ORDERS: orders, NEWS: news, 1: output, 2: errors})
        for descriptor in (orders, news):
            os.close(descriptor)
        self.exit = os.pidfd_open(self._process.pid)

    def cell(self, code, count, environment):
        """Begins to run a cell; `count` is its number, `environment` what properties have meanwhile."""
        self._serial += 1
        self._order(b"E", NUMBER.pack(self._serial), NUMBER.pack(count), _pairs(environment), _text(code))

    def properties(self, environment):
        """Sets properties from now on."""
        self._order(b"P", _pairs(environment))

    def directory(self, path):
        """Sets the property `user.dir`."""
        self._order(b"D", _text(path))

    def interrupt(self):
        """Interrupts the cell that was begun last, if it still runs."""
        self._order(b"I", NUMBER.pack(self._serial))

    def _order(self, *parts):
        data = memoryview(b"".join(parts))
        try:
            while data:
                data = data[os.write(self._orders, data):]
        except BrokenPipeError:
            # It has ended; `exit` tells.
            pass

    def heard(self):
        """Gives what it has said, one by one: the kind and its texts."""
        try:
            while data := os.read(self.news, 1 << 16):
                self._rest += data
        except BlockingIOError:
            pass
        while (said := self._frame()) is not None:
            yield said

    def _frame(self):
        kind = bytes(self._rest[:1])
        count = FIELDS.get(kind)
        if count is None:
            return None
        at, texts = 1, []
        for _ in range(count):
            if len(self._rest) < at + NUMBER.size:
                return None
            (size,) = NUMBER.unpack_from(self._rest, at)
            at += NUMBER.size + max(size, 0)
            if len(self._rest) < at:
                return None
            texts.append(self._rest[at - max(size, 0):at].decode("utf-8", "replace"))
        del self._rest[:at]
        return kind, texts

    def close(self):
        """No orders any more: it ends as a Java program does."""
        os.close(self._orders)

    def kill(self):
        """Ends it at once."""
        try:
            signal.pidfd_send_signal(self.exit, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def reap(self):
        """Waits until it has ended; gives its exit status, 128 and its number for a signal."""
        status = self._process.wait()
        return status if status >= 0 else 128 - status


def _text(text):
    body = text.encode("utf-8", "replace")
    return NUMBER.pack(len(body)) + body


def _pairs(environment):
    parts = [NUMBER.pack(len(environment))]
    for name, value in environment.items():
        parts += [_text(name), NUMBER.pack(-1) if value is None else _text(value)]
    return b"".join(parts)


def _spawn(given):
    def place():
        # Through high numbers first: a descriptor may be where another one has to go.
        high = {number: fcntl.fcntl(given[number], fcntl.F_DUPFD, 200) for number in given}
        for number, descriptor in high.items():
            os.dup2(descriptor, number)
            os.close(descriptor)

    home = os.environ.get("HOME", "/")
    return subprocess.Popen(
        ["java", *OPTIONS, "-cp", f"{HERE}/kernel.jar", "soulbox.Main",
         f"/proc/self/fd/{ORDERS}", f"/proc/self/fd/{NEWS}"],
        # Relative paths of files are below where it was started, whatever `user.dir` says.
        cwd=home if os.path.isdir(home) else "/", stdin=subprocess.DEVNULL,
        preexec_fn=place, close_fds=False, restore_signals=True,
    )
