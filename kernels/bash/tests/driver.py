"""A bash kernel in a process of its own; the agent's side is that of the Python kernel's tests."""

import importlib.util
import os
import sys
import tempfile

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PYTHON = os.path.join(os.path.dirname(HERE), "python")

_spec = importlib.util.spec_from_file_location("python_driver", os.path.join(PYTHON, "tests", "driver.py"))
_driver = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_driver)

HOME = tempfile.TemporaryDirectory(prefix="soulbox-bash-home-")


class Kernel(_driver.Kernel):
    """A kernel as the agent starts it."""

    def __init__(self, command=("-m", "soulbox_bash"), **env):
        self._command = command
        super().__init__(**env)

    def command(self):
        return [sys.executable, *self._command]

    def environment(self, **more):
        return {"PATH": os.environ["PATH"], "PYTHONPATH": f"{HERE}:{PYTHON}", "HOME": HOME.name,
                "LANG": "C.UTF-8", **more}


class KernelCase(_driver.KernelCase):
    """Tests that share one kernel."""

    Kernel = Kernel
