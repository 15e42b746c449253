"""A Java kernel in a process of its own; the agent's side is that of the Python kernel's tests."""

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PYTHON = os.path.join(os.path.dirname(HERE), "python")

_spec = importlib.util.spec_from_file_location("python_driver", os.path.join(PYTHON, "tests", "driver.py"))
_driver = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_driver)

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


class Kernel(_driver.Kernel):
    """A kernel as the agent starts it."""

    def command(self):
        return [sys.executable, os.path.join(built(), "main.py")]

    def environment(self, **more):
        return {"PATH": os.environ["PATH"], "HOME": HOME.name, "LANG": "C.UTF-8", **more}


class KernelCase(_driver.KernelCase):
    """Tests that share one kernel."""

    Kernel = Kernel
