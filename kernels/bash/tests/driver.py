"""A bash kernel in a process of its own; the agent's side is that of the Python kernel's tests."""

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PYTHON = os.path.join(os.path.dirname(HERE), "python")

_spec = importlib.util.spec_from_file_location("python_driver", os.path.join(PYTHON, "tests", "driver.py"))
_driver = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_driver)
Answer, Conversation, PATIENCE = _driver.Answer, _driver.Conversation, _driver.PATIENCE

HOME = tempfile.TemporaryDirectory(prefix="soulbox-bash-home-")


class Kernel(Conversation):
    """A kernel as the agent starts it."""

    def __init__(self, command=("-m", "soulbox_bash", "--control"), **env):
        ours, theirs = socket.socketpair()
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{HERE}:{PYTHON}", "HOME": HOME.name,
                       "LANG": "C.UTF-8", **env}
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, *command, str(theirs.fileno())],
                pass_fds=[theirs.fileno()], env=environment, cwd="/")
        super().__init__(ours)
        try:
            self.ready = self.frame()
        except EOFError:
            raise AssertionError(f"the kernel did not start: status {self.process.wait(PATIENCE)}") from None

    def interrupt(self):
        self.process.send_signal(signal.SIGINT)

    def close(self):
        """Closes the socket; gives the kernel's exit status."""
        self.sock.close()
        return self.process.wait(PATIENCE)


class KernelCase(unittest.TestCase):
    """Tests that share one kernel. Those that leave something behind take one for themselves."""

    @classmethod
    def setUpClass(cls):
        cls.kernel = Kernel()

    @classmethod
    def tearDownClass(cls):
        cls.kernel.close()

    def own_kernel(self, **more):
        kernel = Kernel(**more)
        self.addCleanup(kernel.close)
        return kernel

    def out(self, code, kernel=None, **fields):
        """What a cell prints that must not fail."""
        answer = (kernel or self.kernel).run(code, **fields)
        self.assertEqual((answer.error, "".join(answer.stderr)), (None, ""))
        return "".join(answer.stdout)
