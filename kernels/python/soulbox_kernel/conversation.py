"""The socket to the agent, for kernels that run code in another process: frames in and out, and the output between
them. The kernels of bash and Java use it; cells in Python itself need more care (`soulbox_kernel.wire`).
"""

import os
import socket
from collections import deque

from soulbox_kernel import protocol
from soulbox_kernel.capture import Capture
from soulbox_kernel.protocol import BadRequest, Reader

RECEIVE = 64 * 1024
"""Bytes taken from the socket at once."""


class _Direct:
    """What a `Capture` takes from besides its pipe: nothing, for the other process prints into the pipe only."""

    keeping = False

    @staticmethod
    def fetch(drain):
        drain()
        return b"", ""


def captured(name):
    """A `Capture` of stream `name`, and the descriptor of the pipe that it is written into."""
    read, write = os.pipe2(os.O_CLOEXEC)
    os.set_blocking(read, False)
    capture = Capture(name, _Direct())
    capture.attach(read)
    return capture, write


def connected(fd):
    """The socket to the agent that descriptor `fd` is. Raises OSError if it is none, or not above 2."""
    if fd <= 2:
        raise OSError(f"descriptor {fd} is a standard stream; the socket must be above 2")
    control = socket.socket(fileno=fd)
    control.getpeername()
    control.setblocking(True)
    control.set_inheritable(False)
    return control


class Failure(Exception):
    """What the agent is told of a request that failed: the parts of an error frame."""

    def __init__(self, name, value, traceback=""):
        super().__init__(value)
        self.name = name
        self.value = value
        self.traceback = traceback


class Conversation:
    """Frames over `control`; `captures` are the streams whose output goes between them."""

    def __init__(self, control, captures):
        self._control = control
        self._captures = captures
        self._reader = Reader()
        self._waiting = deque()
        self._id = None

    def fileno(self):
        return self._control.fileno()

    def send(self, *messages):
        """Sends messages; waits while the agent does not read."""
        self._control.sendall(b"".join(protocol.encode(message) for message in messages))

    def next(self):
        """The request that has waited longest; output belongs to it from now on. None if none waits."""
        if not self._waiting:
            return None
        # What was printed before does not.
        self.flush()
        request = self._waiting.popleft()
        self._id = request.id
        return request

    def count(self, number):
        """Tells the execution count of the running cell."""
        self.send({"type": "count", "id": self._id, "execution_count": number})

    def result(self, data):
        """Tells the value of the running cell, behind all its output. Raises `FrameTooLarge`."""
        self.flush()
        self.send({"type": "result", "id": self._id, "is_main_result": True, "data": data})

    def note(self, text):
        """Tells the user something on standard error."""
        self.flush()
        self.send({"type": "stderr", "id": self._id, "text": f"soulbox: {text}\n"})

    def end(self, failure):
        """Ends the running request, behind all its output."""
        self.flush(final=True)
        frames = []
        if failure is not None:
            frames.append({"type": "error", "id": self._id, "name": failure.name, "value": failure.value,
                           "traceback": failure.traceback})
        frames.append({"type": "end", "id": self._id, "status": "ok" if failure is None else "error"})
        self._id = None
        self.send(*frames)

    def flush(self, final=False):
        """Sends all output so far; with `final` also half a character."""
        for capture in self._captures:
            capture.fetch()
        self._send_output((capture.name, capture.all(final)) for capture in self._captures)

    def send_due(self, now):
        """Sends output whose time has come."""
        self._send_output([(capture.name, capture.due(now)) for capture in self._captures])

    def _send_output(self, streams):
        self.send(*({"type": name, "id": self._id, "text": text} for name, pieces in streams for text in pieces))

    def receive(self):
        """Takes what has arrived; false when the agent has closed the socket."""
        try:
            data = self._control.recv(RECEIVE, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return True
        if not data:
            return False
        for item in self._reader.feed(data):
            if isinstance(item, BadRequest):
                self._refuse(item.id, "BadRequest", str(item))
            elif len(self._waiting) >= protocol.WAITING_LIMIT:
                self._refuse(item.id, "TooManyRequests",
                             f"{protocol.WAITING_LIMIT} requests wait already; send fewer at once")
            else:
                self._waiting.append(item)
        return True

    def _refuse(self, id, name, value):
        self.send({"type": "error", "id": id, "name": name, "value": value, "traceback": ""})
        if id is not None:
            self.send({"type": "end", "id": id, "status": "error"})
