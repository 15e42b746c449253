"""A script, run as `python3 file` runs it.

What Python does only at its start (locales, hash seed, warnings, paths of a directory or an archive
as a program) it has to do: then the process becomes a new interpreter. So it does when the file
cannot be read or compiled, for its message is Python's own.
"""

import builtins
import io
import json
import os
import signal
import site
import sys
import types
from importlib.machinery import SourceFileLoader

from soulbox_zygote import ending, environment, streams

REHEARSED = "/nowhere/main.py"

NAMES = [name for name in vars(sys.modules["__main__"]) if name.startswith("__")]
"""What a script finds in its namespace, in this order; which it is depends on Python's version."""


def run(request, descriptors, plain, ready, library, tell):
    """Runs the script of `request` with its standard streams, and ends the process."""
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
    os.closerange(3, max(descriptors) + 1)
    path, words = request["path"], request.get("argv") or []
    env = request.get("env") or {}
    if request.get("cwd"):
        os.chdir(request["cwd"])
    environment.replace(env)
    code = None if environment.needs_start(env) else compiled(path)
    if code is None:
        start_anew(path, words)
    streams.set_up(ready, bool(env.get("PYTHONUNBUFFERED")))
    plain.restore()
    loaded = plain.loaded
    find_modules(path, env)
    sys.argv = [path, *words]
    sys.orig_argv = ["python3", path, *words]
    namespace = main_module(path).__dict__
    status = execute(code, namespace)
    # What the script made ends with its module; nothing here is to keep it.
    del code, namespace
    ending.end(status, loaded, library, tell)


def rehearse():
    """Does what a script's start does, to no effect: whoever waits for a script takes the pages of memory
    that it needs before somebody waits for it."""
    request = json.loads(json.dumps({"path": REHEARSED, "argv": [], "env": {"HOME": "/", "LANG": "C.UTF-8"}}))
    environment.replace(request["env"])
    environment.clear()
    before = sys.modules["__main__"], sys.path[:]
    find_modules(request["path"], {})
    streams.is_stream(0)
    code = compile("import sys\nif sys.argv is None: print('')\n", request["path"], "exec", dont_inherit=True)
    exec(code, main_module(request["path"]).__dict__)
    sys.modules["__main__"], sys.path[:] = before


def compiled(path):
    """The script's code; None if it is for Python's start to read it."""
    try:
        with io.open_code(os.path.abspath(path)) as file:
            source = file.read()
        if source[:2] == b"PK":
            return None
        return compile(source, os.path.abspath(path), "exec", dont_inherit=True)
    except BaseException:
        return None


def start_anew(path, words):
    """Becomes an interpreter that starts with this script."""
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    interpreter = sys.executable or "/usr/bin/python3"
    try:
        os.execv(interpreter, ["python3", path, *words])
    except OSError as error:
        os.write(2, f"cannot start {interpreter}: {error}\n".encode())
        os._exit(126)


def find_modules(path, env):
    """Makes `sys.path` what it is when Python starts with this script and environment."""
    first = [item for item in env.get("PYTHONPATH", "").split(":") if item]
    if not env.get("PYTHONSAFEPATH"):
        first.insert(0, os.path.dirname(os.path.realpath(path)))
    home = env.get("HOME")
    if home:
        version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
        user = os.path.join(home, ".local", "lib", version, "site-packages")
        if os.path.isdir(user):
            add_user_site(user)
    sys.path[:0] = first


def add_user_site(directory):
    """Puts the user's packages before those of all, as `site` does."""
    before = list(sys.path)
    site.addsitedir(directory)
    added = [item for item in sys.path if item not in before]
    everybody = set(site.getsitepackages()) | {"/usr/lib/python3/dist-packages"}
    at = next((at for at, item in enumerate(before) if item in everybody), len(before))
    sys.path[:] = before[:at] + added + before[at:]
    site.USER_SITE = directory
    site.ENABLE_USER_SITE = True


def main_module(path):
    """A new `__main__`, with what Python puts into it."""
    module = types.ModuleType("__main__")
    path = os.path.abspath(path)
    values = {
        "__name__": "__main__",
        "__loader__": SourceFileLoader("__main__", path),
        "__annotations__": {},
        "__builtins__": builtins,
        "__file__": path,
    }
    namespace = vars(module)
    namespace.clear()
    for name in NAMES:
        namespace[name] = values.get(name)
    sys.modules["__main__"] = module
    return module


def execute(code, namespace):
    """Runs the code; gives the exit status, or None after an interrupt."""
    try:
        exec(code, namespace)
        return 0
    except SystemExit as error:
        return ending.asked(error)
    except BaseException as error:
        return failed(error)


def failed(error):
    """Shows what ended the script; gives the exit status, or None after an interrupt."""
    # The first frame is `execute`.
    trace = error.__traceback__ and error.__traceback__.tb_next
    error.__traceback__ = trace
    sys.last_type, sys.last_value, sys.last_traceback = type(error), error, trace
    if sys.version_info >= (3, 12):
        sys.last_exc = error
    interrupted = isinstance(error, KeyboardInterrupt)
    try:
        sys.excepthook(type(error), error, trace)
    except SystemExit as other:
        return ending.asked(other)
    except BaseException as other:
        other.__traceback__ = other.__traceback__ and other.__traceback__.tb_next
        other.__context__ = None
        print("Error in sys.excepthook:", file=sys.stderr)
        sys.__excepthook__(type(other), other, other.__traceback__)
        print("\nOriginal exception was:", file=sys.stderr)
        sys.__excepthook__(type(error), error, trace)
    return None if interrupted else 1
