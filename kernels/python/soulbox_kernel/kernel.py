"""The life of a kernel: prepared once, forked perhaps, then serving one agent."""

import contextlib
import gc
import importlib
import io
import os
import platform
import socket
import sys

import IPython

from soulbox_kernel import awaiting, figures, formatters, images, native, prompt, protocol, shell, spawning
from soulbox_kernel.capture import Capture
from soulbox_kernel.cell import Cells
from soulbox_kernel.interrupt import Interrupts
from soulbox_kernel.reseed import reseed
from soulbox_kernel.stream import Stream
from soulbox_kernel.wire import Wire

_prepared = None
_parts = None


def prepare(preload=()):
    """Does all that processes forked later can share: imports, shell, first uses of slow paths.

    `preload` names modules to import; one that is missing or fails is told on standard error and
    left out. Starts no thread, opens no descriptor and draws no random number that matters. The
    caller's process has IPython's shell from then on; calling it again only preloads.
    """
    global _prepared, _parts
    figures.choose()
    if _prepared is None:
        _prepared = shell.make()
        formatters.register(_prepared)
        prompt.refuse()
        images.watch()
        _parts = Parts(_prepared)
    for name in preload:
        _preload(name)
    figures.warm()
    _warm(_prepared)
    gc.collect()
    # A collection in a child would else write into, and so copy, every page of the zygote.
    gc.freeze()


def _preload(name):
    try:
        importlib.import_module(name)
    except Exception as error:
        print(f"soulbox_kernel: cannot preload {name}: {error!r}", file=sys.stderr)


def _warm(made):
    """Runs what a first cell would have to load: a value, an error, OpenSSL's generator."""
    with contextlib.redirect_stdout(io.StringIO()):
        made.run_cell("display([1])", store_history=False)
        made.run_cell("1 / 0", store_history=False)
    for name in ("last_type", "last_value", "last_traceback", "last_exc"):
        if hasattr(sys, name):
            delattr(sys, name)
    try:
        import ssl

        ssl.RAND_bytes(1)
    except ImportError:
        pass


def serve(fd, reseeded=False):
    """Runs cells for the agent at the other end of socket `fd` until it closes the socket.

    Takes over descriptors 0, 1 and 2 and the standard streams of this process; the calling thread
    must be the main one. `reseeded` says that the caller has called `reseed` in this process. Raises
    OSError if `fd` is not a connected socket above 2.
    """
    if _prepared is None:
        prepare()
    if fd <= 2:
        raise OSError(f"descriptor {fd} is a standard stream; the socket must be above 2")
    control = socket.socket(fileno=fd)
    control.getpeername()
    control.setblocking(True)
    control.set_inheritable(False)
    if not reseeded:
        reseed()
    figures.choose()
    sys.argv = [""]
    _parts.connect(control)
    _loop(_parts.wire, _parts.cells, _parts.interrupts)


class Parts:
    """All that a kernel has besides the shell, made before there is anything to connect it to: what a copy of
    a zygote need not make costs it neither time nor memory."""

    def __init__(self, made):
        self._shell = made
        self.wire = Wire()
        self.streams = [Stream("<stdout>", 1), Stream("<stderr>", 2)]
        self.captures = [Capture("stdout", self.streams[0]), Capture("stderr", self.streams[1])]
        self.interrupts = Interrupts()
        self.cells = Cells(made, self.wire, self.interrupts, after=native.flusher())
        self.ready = {
            "type": "ready",
            "protocol": protocol.VERSION,
            "python": platform.python_version(),
            "ipython": IPython.__version__,
        }

    def connect(self, control):
        """Takes over the standard streams and begins to listen at `control`."""
        log = os.dup(2)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        sys.stdin = open(0, closefd=False)
        for stream, capture in zip(self.streams, self.captures):
            _capture(stream, capture)
        self.interrupts.finish()
        _watch_forks(self.streams, self.wire, self.interrupts)
        self._shell.wire = self.wire
        self.wire.start(control, self.captures, log, {**self.ready, "pid": os.getpid()})


def _capture(stream, capture):
    """Makes the stream's descriptor and `sys`'s stream one pipe, whose other end is the `Capture`."""
    name, number = capture.name, stream.fileno()
    # Code that kept the old stream writes to the same descriptor, but not at once.
    old = getattr(sys, f"__{name}__")
    if old is not None:
        old.flush()
        old.reconfigure(line_buffering=True)
    read, write = os.pipe()
    os.set_blocking(read, False)
    os.dup2(write, number)
    stream.attach(write)
    capture.attach(read)
    setattr(sys, name, stream)


def _watch_forks(streams, wire, interrupts):
    spawning.watch(streams)

    def flush():
        for stream in streams:
            stream.flush()

    def leave():
        for stream in streams:
            stream.leave()
        wire.leave()
        interrupts.leave()

    os.register_at_fork(before=flush, after_in_child=leave)


def _loop(wire, cells, interrupts):
    while True:
        try:
            request = wire.wait(idle=awaiting.go_on)
            if request is None:
                return
            if not request.started:
                request.started = True
                cells.handle(request)
            if wire.left:
                # A cell forked, and this is the child behind the end of its code.
                os._exit(request.status != "ok")
            wire.end(request)
            request.done = True
        except BaseException:
            # Of a handler or timer of the user's, just as the cell ended. What was under way is
            # taken up again where it stood.
            interrupts.finish()
