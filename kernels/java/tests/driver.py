"""A Java kernel in a process of its own; the agent's side is that of the Python kernel's tests."""

import importlib.util
import os
import shutil
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

HOME = tempfile.TemporaryDirectory(prefix="soulbox-java-home-")


def built():
    """The directory of a kernel that is built: this one, or a copy for these tests."""
    if os.path.exists(os.path.join(HERE, "kernel.jar")):
        return HERE
    copy = os.path.join(HOME.name, "kernels", "java")
    if not os.path.exists(copy):
        shutil.copytree(PYTHON, os.path.join(HOME.name, "kernels", "python"),
                        ignore=shutil.ignore_patterns("tests", "__pycache__"))
        shutil.copytree(HERE, copy, ignore=shutil.ignore_patterns("tests", "__pycache__"))
        subprocess.run(["bash", os.path.join(copy, "build.sh")], check=True, stdin=subprocess.DEVNULL)
    return copy


class Kernel(Conversation):
    """A kernel as the agent starts it."""

    def __init__(self, **env):
        ours, theirs = socket.socketpair()
        environment = {"PATH": os.environ["PATH"], "HOME": HOME.name, "LANG": "C.UTF-8", **env}
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, os.path.join(built(), "main.py"), "--control", str(theirs.fileno())],
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

    def text(self, code, kernel=None, **fields):
        """The value of a cell that must not fail."""
        answer = (kernel or self.kernel).run(code, **fields)
        self.assertEqual((answer.error, "".join(answer.stderr)), (None, ""))
        return answer.text
