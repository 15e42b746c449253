"""The zygote's own life: it loads, says that it is ready, and makes children."""

import argparse
import atexit
import builtins
import errno
import gc
import importlib
import os
import signal
import sys

from soulbox_zygote import child, ending, environment, pages, script, streams
from soulbox_zygote.library import Library

ONE_THREAD = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
"""What keeps numeric libraries from starting threads when they are imported: a process with more
than one cannot be copied."""

DESCRIPTORS = 1 << 16
"""Numbers up to which descriptors that modules have left open are looked for."""

HANDLED = (signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ)
"""Signals that Python itself changes when it starts."""


def arguments(words):
    parser = argparse.ArgumentParser(prog="zygote", description="Makes Python processes in sandboxes.")
    parser.add_argument("--broker", type=int, required=True, metavar="FD",
                        help="the inherited descriptor of the socket to the broker")
    parser.add_argument("--kernels", default="", metavar="DIRECTORY",
                        help="where the package soulbox_kernel is, if children are to be kernels")
    parser.add_argument("--preload", default="", metavar="MODULES",
                        help="modules to import, separated by commas")
    return parser.parse_args(words)


def run(directory, words):
    """Serves until the broker goes. Ends the process: then, and each child at its own end."""
    given = arguments(words)
    with open(os.path.join(directory, "filter.bin"), "rb") as file:
        library = Library(os.path.join(directory, "zygote.so"), file.read())
    for number in set(signal.valid_signals()) - {signal.SIGKILL, signal.SIGSTOP, *HANDLED}:
        # Whoever started the zygote may have ignored some; no child is to.
        signal.signal(number, signal.SIG_DFL)
    plain = Plain()
    load(given.kernels, [name for name in given.preload.split(",") if name], directory)
    plain.note()
    ready = streams.prepare()
    streams.use(ready)
    # What modules keep open is closed in each child; better here, where it shows.
    os.closerange(given.broker + 1, min(os.sysconf("SC_OPEN_MAX"), DESCRIPTORS))
    library.before_fork()
    gc.collect()
    pages.enlarge()
    # A collection in a child would else write into, and so copy, every page of the zygote.
    gc.freeze()
    try:
        if not library.serve(given.broker):
            os._exit(0)
    except OSError as error:
        why = "a module that was preloaded has started threads" if error.errno == errno.EDEADLK else error
        os.write(2, f"zygote: cannot serve: {why}\n".encode())
        os._exit(1)
    try:
        child.live(library, plain, ready)
    except BaseException as error:
        # The request's or the sandbox's fault, such as a directory that has gone.
        os.write(2, f"cannot begin: {error}\n".encode(errors="backslashreplace"))
    os._exit(child.MISUSED)


def load(kernels, names, directory):
    """Imports what children start with."""
    os.environ.update((name, "1") for name in ONE_THREAD)
    # matplotlib refuses to load without a directory that it can write to.
    os.environ["MPLCONFIGDIR"] = os.path.join(directory, "matplotlib")
    if kernels:
        sys.path.insert(0, kernels)
        import soulbox_kernel

        soulbox_kernel.prepare(preload=names)
        sys.path.remove(kernels)
    else:
        for name in names:
            preload(name)
    warm()
    # The rest is for the child's request to say.
    environment.clear()


def preload(name):
    """Imports a module; one that is missing or fails is told of and left out."""
    try:
        importlib.import_module(name)
    except Exception as error:
        print(f"zygote: cannot preload {name}: {error!r}", file=sys.stderr)


ROUNDS = 20
"""How often a script's start is rehearsed: Python rewrites what it runs until it has seen it run some times."""


def warm():
    """Uses for the first time what each child will use."""
    for _ in range(ROUNDS):
        script.rehearse()
    ssl = sys.modules.get("ssl")
    if ssl is not None:
        ssl.RAND_bytes(1)
    pandas = sys.modules.get("pandas")
    if pandas is not None:
        try:
            str(pandas.DataFrame({"a": [1, 2], "b": ["x", "y"]}).groupby("b").sum())
        except Exception as error:
            print(f"zygote: cannot warm pandas: {error!r}", file=sys.stderr)


class Plain:
    """The interpreter as it started, for scripts: IPython changes parts of it."""

    def __init__(self):
        self._builtins = dict(vars(builtins))
        self._path = list(sys.path)
        self._hooks = {name: getattr(sys, name) for name in ("displayhook", "excepthook")}
        self.loaded = None
        self._changed = ()

    def note(self):
        """Everything is loaded."""
        now = vars(builtins)
        names = now.keys() | self._builtins.keys()
        missing = object()
        self._changed = [name for name in names if now.get(name, missing) is not self._builtins.get(name, missing)]
        self.loaded = ending.Loaded()

    def restore(self):
        """Takes back what loading changed."""
        sys.path[:] = self._path
        kernel = sys.modules.get("soulbox_kernel.kernel")
        if kernel is not None:
            atexit.unregister(kernel._prepared.atexit_operations)
        for name in self._changed:
            if name in self._builtins:
                setattr(builtins, name, self._builtins[name])
            else:
                delattr(builtins, name)
        for name, value in self._hooks.items():
            setattr(sys, name, value)
