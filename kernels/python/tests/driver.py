"""A kernel in a process of its own and the agent's side of its socket, for tests."""

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

HOME = tempfile.TemporaryDirectory(prefix="soulbox-kernel-home-")
"""Where libraries under test put their caches; gone when the tests end."""

PATIENCE = 20.0
"""Seconds without a frame after which a test fails instead of hanging."""


def environment(**more):
    """What a kernel under test finds: nothing of the caller's but where programs are."""
    return {"PATH": os.environ["PATH"], "PYTHONPATH": HERE, "HOME": HOME.name, **more}


class Conversation:
    """Requests and frames over one socket."""

    def __init__(self, sock):
        self.sock = sock
        self.sock.settimeout(PATIENCE)
        self._bytes = b""
        self._last = 0

    def raw(self, body):
        self.sock.sendall(struct.pack(">I", len(body)) + body)

    def send(self, type, **fields):
        self._last += 1
        fields.setdefault("id", str(self._last))
        self.raw(json.dumps({"type": type, **fields}).encode())
        return fields["id"]

    def _exactly(self, size):
        while len(self._bytes) < size:
            data = self.sock.recv(1 << 16)
            if not data:
                raise EOFError
            self._bytes += data
        taken, self._bytes = self._bytes[:size], self._bytes[size:]
        return taken

    def frame(self):
        """The next frame; raises EOFError when the kernel has gone."""
        (size,) = struct.unpack(">I", self._exactly(4))
        # Strict, as other JSON readers are.
        return json.loads(self._exactly(size).decode("utf-8"), parse_constant=_no_constant)

    def until(self, wanted):
        """Frames up to the first of type `wanted`, that one included."""
        frames = []
        while not frames or frames[-1]["type"] != wanted:
            frames.append(self.frame())
        return frames

    def ask(self, type, **fields):
        id = self.send(type, **fields)
        answer = Answer(self.until("end"))
        assert answer.frames[-1]["id"] == id, answer.frames
        return answer

    def run(self, code, **fields):
        """Runs a cell; gives all that the kernel said of it."""
        return self.ask("execute", code=code, **fields)


def _no_constant(name):
    raise ValueError(f"{name} is not JSON")


class Answer:
    """The frames of one request, by what they are."""

    def __init__(self, frames):
        self.frames = frames
        self.types = [frame["type"] for frame in frames]
        self.stdout = self._texts("stdout")
        self.stderr = self._texts("stderr")
        self.results = [frame["data"] for frame in frames if frame["type"] == "result"]
        self.main = [frame["data"] for frame in frames if frame["type"] == "result" and frame["is_main_result"]]
        self.error = next((frame for frame in frames if frame["type"] == "error"), None)
        self.count = next((frame["execution_count"] for frame in frames if frame["type"] == "count"), None)
        self.status = frames[-1]["status"]

    def _texts(self, type):
        return [frame["text"] for frame in self.frames if frame["type"] == type]

    @property
    def text(self):
        return self.main[0]["text/plain"]


class Kernel(Conversation):
    """A kernel started as an agent without a zygote starts it. Those of other languages say how they are started."""

    def __init__(self, *arguments, **env):
        ours, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                [*self.command(), "--control", str(theirs.fileno()), *arguments],
                pass_fds=[theirs.fileno()], env=self.environment(**env), cwd="/",
            )
        super().__init__(ours)
        try:
            self.ready = self.frame()
        except EOFError:
            raise AssertionError(f"the kernel did not start: status {self.process.wait(PATIENCE)}") from None

    def command(self):
        """What starts it, without its arguments."""
        return [sys.executable, "-m", "soulbox_kernel"]

    def environment(self, **more):
        return environment(**more)

    def interrupt(self):
        self.process.send_signal(signal.SIGINT)

    def close(self):
        """Closes the socket; gives the kernel's exit status."""
        self.sock.close()
        return self.process.wait(PATIENCE)


class KernelCase(unittest.TestCase):
    """Tests that share one kernel. Those that leave something behind take one for themselves."""

    Kernel = Kernel

    @classmethod
    def setUpClass(cls):
        cls.kernel = cls.Kernel()

    @classmethod
    def tearDownClass(cls):
        cls.kernel.close()

    def own_kernel(self, *arguments, **env):
        kernel = self.Kernel(*arguments, **env)
        self.addCleanup(kernel.close)
        return kernel

    def answer(self, code, kernel=None, **fields):
        """What the kernel says of a cell that must not fail."""
        answer = (kernel or self.kernel).run(code, **fields)
        self.assertEqual((answer.error, "".join(answer.stderr)), (None, ""))
        return answer

    def out(self, code, kernel=None, **fields):
        """What a cell prints that must not fail."""
        return "".join(self.answer(code, kernel, **fields).stdout)

    def text(self, code, kernel=None, **fields):
        """The value of a cell that must not fail."""
        return self.answer(code, kernel, **fields).text
