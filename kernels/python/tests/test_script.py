"""Scripts in a zygote's child end as under `python3 file`: same output, same errors, same status.

`SOULBOX_ZYGOTE` names a directory with a zygote's files; the test of crate `soulbox-runtime` sets it.
"""

import os
import re
import subprocess
import tempfile
import unittest

from tests.world import Broker, Sandbox

ZYGOTE = os.environ.get("SOULBOX_ZYGOTE")

ENV = {"PATH": "/usr/bin:/bin", "HOME": "/mnt", "USER": "user"}

SAME = {
    "print": "print('hello'); print('é ü 漢')",
    "stderr": "import sys; sys.stderr.write('to err\\n'); sys.stdout.write('to out')",
    "names": "print(sorted(globals())); print(__name__, __doc__, __package__, __spec__, __file__, __builtins__)",
    "docstring": "'''A docstring.'''\nprint(__doc__)\nx: int = 1\nprint(__annotations__)",
    "loader": "print(type(__loader__).__name__, __loader__.name, __loader__.path)",
    "main": "import __main__, sys; print(__main__.__dict__ is globals(), sys.modules['__main__'] is __main__)",
    "argv": "import sys; print(sys.argv, sys.path[0], sys.path[1:], sys.executable)",
    "flags": "import sys; print(sys.flags, sys.dont_write_bytecode, sys.orig_argv[1:], sys.warnoptions)",
    "environ": "import os; print(sorted(os.environ.items())); print(os.getcwd())",
    "variable seen by C": "import subprocess; print(subprocess.check_output(['env'], text=True).count('HOME=/mnt'))",
    "streams": "import sys\nfor s in (sys.stdin, sys.stdout, sys.stderr):\n"
               "    print(s, s.encoding, s.errors, s.line_buffering, s.write_through, s.newlines, s.seekable(),"
               " s.buffer, s is getattr(sys, '__' + s.name[1:-1] + '__'))",
    "stdin": "import sys; print(sys.stdin.read().upper())",
    "input": "print(input('name? '))\nprint(input())",
    "bytes in and out": "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read()[::-1])",
    "lone surrogate": "print('\\udc80')",
    "not encodable": "print('\\ud800')",
    "exit 3": "import sys; sys.exit(3)",
    "fork and exit": "import os, sys\npid = os.fork()\nif pid:\n    os.wait()\nsys.exit(6 if pid else 5)",
    "exit none": "raise SystemExit",
    "exit text": "import sys; print('before'); sys.exit('why')",
    "exit object": "raise SystemExit((1, 'two'))",
    "exit negative": "import sys; sys.exit(-1)",
    "exit large": "import sys; sys.exit(2 ** 70)",
    "exit true": "raise SystemExit(True)",
    "os._exit": "import os; print('lost'); os._exit(4)",
    "quit": "exit(5)",
    "exception": "def f(x):\n    return 1 / x\n\nf(0)",
    "chained": "try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    raise ValueError('x') from e",
    "context": "try:\n    1 / 0\nexcept ZeroDivisionError:\n    undefined",
    "group": "raise ExceptionGroup('many', [ValueError(1), TypeError(2)])",
    "exception in import": "import json\njson.loads('{')",
    "assertion": "assert 1 == 2, 'not equal'",
    "syntax error": "print('no'\nx = ",
    "indentation": "if 1:\nprint(1)",
    "null bytes": "print(1)\0",
    "not utf-8": b"print('\xff')",
    "other encoding": b"# -*- coding: latin-1 -*-\nprint('\xe9')",
    "byte order mark": b"\xef\xbb\xbfprint('bom')",
    "future": "from __future__ import annotations\nx: undefined = 1\nprint(__annotations__)",
    "recursion": "import sys\ndef f(): f()\ntry:\n    f()\nexcept RecursionError as e:\n    print(e)",
    "excepthook": "import sys\nsys.excepthook = lambda *a: print('hook', a[0].__name__)\n1 / 0",
    "bad excepthook": "import sys\ndef hook(*a):\n    raise KeyError('in hook')\nsys.excepthook = hook\n1 / 0",
    "exit in excepthook": "import sys\nsys.excepthook = lambda *a: sys.exit(9)\n1 / 0",
    "last value": "import atexit, sys\natexit.register(lambda: print(repr(sys.last_value)))\n1 / 0",
    "keyboard interrupt": "print('a')\nraise KeyboardInterrupt",
    "own SIGINT": "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nprint('not reached')",
    "killed": "import os, signal\nprint('lost')\nos.kill(os.getpid(), signal.SIGKILL)",
    "terminated": "import os, signal\nos.kill(os.getpid(), signal.SIGTERM)",
    "aborted": "import os; os.abort()",
    "signals": "import signal; print([(s, signal.getsignal(s)) for s in signal.valid_signals()])",
    "broken pipe": "import subprocess; print(subprocess.run('yes | head -1', shell=True).returncode)",
    "atexit": "import atexit\natexit.register(print, 'one')\natexit.register(print, 'two')\nprint('end')",
    "atexit raises": "import atexit\n@atexit.register\ndef f():\n    1 / 0\nprint('end')",
    "atexit and exit": "import atexit, sys\natexit.register(print, 'last')\nsys.exit(6)",
    "threads are waited for": "import threading, time\n"
                              "threading.Thread(target=lambda: (time.sleep(.05), print('thread'))).start()\nprint('main')",
    "daemons are not": "import threading, time\n"
                       "threading.Thread(target=time.sleep, args=(60,), daemon=True).start()\nprint('main')",
    "thread raises": "import threading\ndef f():\n    1 / 0\nt = threading.Thread(target=f, name='T')\nt.start()\nt.join()",
    "file left open": "f = open('/mnt/left', 'w')\nf.write('written')\n",
    "file left open, read": "print(open('/mnt/left').read())",
    "finalizer": "class A:\n    def __del__(self):\n        print('deleted', __name__)\na = A()\nprint('end')",
    "finalizer of a cycle": "class A:\n    def __del__(self):\n        print('deleted')\na = A()\na.a = a\ndel a\nprint('end')",
    "finalizer in a module": "import sys, types\nm = types.ModuleType('mine')\nsys.modules['mine'] = m\n"
                             "class A:\n    def __del__(self):\n        print('deleted')\nm.a = A()\ndel m, A\nprint('end')",
    "weakref finalizer": "import weakref\nclass A: pass\na = A()\nweakref.finalize(a, print, 'finalized')\nprint('end')",
    "closed stdout": "import sys\nprint('a')\nsys.stdout.close()",
    "stdout replaced": "import io, sys\nsys.stdout = io.StringIO()\nprint('nobody')",
    "deleted stdout": "import sys\ndel sys.stdout",
    "ctypes": "import ctypes\nctypes.CDLL(None).printf(b'from C\\n')",
    "fork": "import os, sys\nprint('before', flush=True)\npid = os.fork()\n"
            "if pid:\n    os.waitpid(pid, 0)\nprint('both', pid > 0, flush=True)",
    "multiprocessing": "import multiprocessing\ndef f(x):\n    return x * x\n"
                       "if __name__ == '__main__':\n    with multiprocessing.Pool(2) as pool:\n        print(pool.map(f, range(4)))",
    "spawn": "import multiprocessing\ndef f(x):\n    return x * x\nif __name__ == '__main__':\n"
             "    with multiprocessing.get_context('spawn').Pool(1) as pool:\n        print(pool.map(f, range(4)))",
    "pickle": "import pickle\nclass A: pass\nprint(pickle.dumps(A())[:40], type(pickle.loads(pickle.dumps(A()))))",
    "asyncio": "import asyncio\nasync def f():\n    await asyncio.sleep(0)\n    return 1\nprint(asyncio.run(f()))",
    "subprocess": "import subprocess, sys\nprint(subprocess.run([sys.executable, '-c', 'import sys; print(sys.flags)'],"
                  " capture_output=True, text=True).stdout)",
    "inspect": "import inspect\ndef f():\n    pass\nprint(inspect.getsource(f), inspect.stack()[-1].function, len(inspect.stack()) > 0)",
    "traceback of the stack": "import traceback\ndef f():\n    traceback.print_stack()\n",
    "warning": "import warnings\nwarnings.warn('careful')",
    "syntax warning": "x = 1 is 1\nprint(x)",
    "logging": "import logging\nlogging.warning('careful')\nlogging.getLogger('a').info('no')",
    "time zone": "import time, datetime\nprint(time.tzname, datetime.datetime.fromtimestamp(0))",
    "locale": "import locale, sys\nprint(locale.getlocale(), locale.getpreferredencoding(), sys.getfilesystemencoding())",
    "gc": "import gc\nprint(gc.isenabled(), gc.get_threshold())",
    "dataclass": "import dataclasses\n@dataclasses.dataclass\nclass A:\n    x: int = 1\nprint(A())",
    "unittest": "import unittest\nclass T(unittest.TestCase):\n    def test(self):\n        self.assertEqual(1, 2)\n"
                "unittest.main(argv=['x', '-q'], testRunner=unittest.TextTestRunner(stream=open('/dev/null', 'w')))",
    "displayhook": "import sys\nsys.displayhook(42)\nprint(_)",
    "neighbour": "import neighbour\nprint(neighbour.value, neighbour.__file__)",
}
"""What Python does with each of these is what a child has to do."""

ENVIRONMENTS = {
    "unbuffered": ({"PYTHONUNBUFFERED": "1"}, "streams"),
    "path": ({"PYTHONPATH": "/mnt/a:/mnt/b"}, "argv"),
    "safe path": ({"PYTHONSAFEPATH": "1", "PYTHONPATH": "/mnt/a"}, "argv"),
    "hash seed": ({"PYTHONHASHSEED": "7"}, "print"),
    "warnings": ({"PYTHONWARNINGS": "error"}, "warning"),
    "encoding": ({"PYTHONIOENCODING": "latin-1"}, "streams"),
    "locale C": ({"LANG": "C"}, "environ"),
    "locale C.UTF-8": ({"LANG": "C.UTF-8"}, "environ"),
    "all in locale C": ({"LC_ALL": "C"}, "environ"),
    "locale of its own": ({"LANG": "en_US.UTF-8"}, "locale"),
    "time zone": ({"TZ": "America/New_York"}, "time zone"),
    "none": ({}, "environ"),
}
"""Variables that change what a script finds, and which script."""


def text(told):
    """As text, without addresses of objects."""
    return re.sub("0x[0-9a-f]{6,}", "0x...", told.decode(errors="backslashreplace"))


@unittest.skipUnless(ZYGOTE and os.geteuid() == 0, "needs SOULBOX_ZYGOTE and root")
class Script(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.broker = Broker(ZYGOTE)
        cls.sandbox = Sandbox(40)
        cls.directory = tempfile.TemporaryDirectory(prefix="soulbox-script-")
        os.chmod(cls.directory.name, 0o755)
        cls.write("neighbour.py", "value = 42")

    @classmethod
    def tearDownClass(cls):
        cls.sandbox.kill()
        cls.directory.cleanup()
        assert cls.broker.close() == 0

    @classmethod
    def write(cls, name, text):
        path = os.path.join(cls.directory.name, name)
        with open(path, "wb") as file:
            file.write(text if isinstance(text, bytes) else text.encode())
        os.chmod(path, 0o644)
        return path

    def real(self, path, argv, env, cwd):
        """What `python3` itself does, in the same sandbox."""
        inside = ["nsenter", f"--target={self.sandbox.first}", "--mount", "--user", "--pid", "--setuid=1000",
                  "--setgid=1000", f"--wdns={cwd}", "/usr/bin/env", "-i"]
        variables = [f"{name}={value}" for name, value in env.items()]
        done = subprocess.run([*inside, *variables, "python3", path, *argv], input=b"one\ntwo\n", capture_output=True,
                              timeout=60)
        # nsenter ends by the signal that its program ended by.
        return done.stdout, done.stderr, done.returncode

    def compare(self, path, argv=(), env=ENV, cwd="/mnt"):
        child = self.broker.run(self.sandbox, path, argv, env, cwd, stdin=b"one\ntwo\n")
        real = self.real(path, argv, env, cwd)
        self.assertEqual([text(told) for told in child[:2]], [text(told) for told in real[:2]])
        self.assertEqual(child[2], real[2])
        self.assertIn(self.broker.told, (None, real[2]))

    def test_scripts_run_as_python_runs_them(self):
        for name, source in SAME.items():
            with self.subTest(name):
                self.compare(self.write("it.py", source), ["a", "é", ""])

    def test_end_is_told_by_the_script_itself_or_not_at_all(self):
        for name, told in {"print": 0, "exit 3": 3, "exception": 1, "fork and exit": 6, "own SIGINT": None, "killed": None,
                           "os._exit": None, "syntax error": None}.items():
            with self.subTest(name):
                self.broker.run(self.sandbox, self.write("it.py", SAME[name]), env=ENV, cwd="/mnt")
                self.assertEqual(self.broker.told, told)

    def test_environment_is_obeyed(self):
        for name, (env, script) in ENVIRONMENTS.items():
            with self.subTest(name):
                self.compare(self.write("it.py", SAME[script]), env={"PATH": ENV["PATH"], **env})

    def test_programs_that_are_no_files(self):
        self.compare(os.path.join(self.directory.name, "missing.py"))
        self.compare("relative-missing.py")
        os.mkdir(os.path.join(self.directory.name, "program"))
        self.compare(os.path.join(self.directory.name, "program"))
        self.write("program/__main__.py", "import sys; print(sys.argv, sys.path[0], __name__)")
        self.compare(os.path.join(self.directory.name, "program"), ["a"])

    def test_relative_path_and_directory(self):
        self.write("it.py", SAME["argv"] + "\nprint(__file__)\n1 / 0")
        self.compare("it.py", ["x"], cwd=self.directory.name)


if __name__ == "__main__":
    unittest.main()
