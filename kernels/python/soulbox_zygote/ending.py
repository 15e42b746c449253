"""The end of a process, as Python's own, but for the zygote's part of the memory.

Python's finalization takes every module apart, and would so copy most of the zygote's memory. Here
only what the child itself has loaded is let go: its objects end, files that were left open are
written out. Then the process ends at once.
"""

import atexit
import gc
import os
import signal
import sys
import weakref

FLUSH_FAILED = 120
"""Python's exit status when standard output cannot be written out."""


class Loaded:
    """The modules that were loaded when this was made."""

    def __init__(self):
        self.names = frozenset(sys.modules)
        self.last = next(reversed(sys.modules))

    def later(self):
        """The names of modules that came since, oldest first."""
        names = []
        # From the end: to look at a name is to write to the page it lies in, which copies it.
        for name in reversed(sys.modules):
            if name == self.last:
                break
            if name not in self.names:
                names.append(name)
        names.reverse()
        return names


def asked(error):
    """The exit status of a `SystemExit`."""
    code = error.code
    if code is None:
        return 0
    if isinstance(code, int):
        # What does not fit into a C long is -1.
        return code & 0xFF if -(1 << 63) <= code < 1 << 63 else 0xFF
    _flush(_stream("stdout"))
    try:
        print(code, file=sys.stderr)
    except Exception:
        pass
    return 1


def end(status, loaded, library, tell=None):
    """Ends the process with `status`, or by SIGINT if it is None. `loaded` is what the zygote had.
    `tell` is called with the status when nothing is left to do but to give the memory back, which takes
    as long as a short script: who waits need not wait for that."""
    try:
        _wait_for_threads()
        atexit._run_exitfuncs()
    except BaseException:
        # Python tells of errors in exit handlers itself.
        pass
    written = _flush(_stream("stdout"), tell=True) & _flush(_stream("stderr"))
    _let_go(loaded)
    # What was let go may have written more, or replaced the streams.
    written &= _flush(_stream("__stdout__"), tell=written) & _flush(_stream("__stderr__"))
    library.flush(None)
    if status is None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    status = (status or 0) if written else FLUSH_FAILED
    if tell is not None:
        tell(status)
    os._exit(status)


def _wait_for_threads():
    threading = sys.modules.get("threading")
    if threading is None:
        return
    try:
        threading._shutdown()
    except BaseException as error:
        print(f"Exception ignored in: {threading!r}", file=sys.stderr)
        sys.__excepthook__(type(error), error, error.__traceback__ and error.__traceback__.tb_next)


def _stream(name):
    """A standard stream, which a script may have taken away."""
    return getattr(sys, name, None)


def _flush(stream, tell=False):
    """Writes a stream out; False if that failed."""
    if stream is None or getattr(stream, "closed", False):
        return True
    try:
        stream.flush()
    except BaseException as error:
        if tell:
            _flush_failed(stream, error)
        return False
    return True


def _flush_failed(stream, error):
    try:
        print(f"Exception ignored in: {stream!r}", file=sys.stderr)
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
    except BaseException:
        pass


def _let_go(loaded):
    """Ends what the child has made, in Python's order: modules go, then cycles, then the rest."""
    for name in ("last_type", "last_value", "last_traceback", "last_exc"):
        if hasattr(sys, name):
            setattr(sys, name, None)
    left = []
    for name in ["__main__", *loaded.later()]:
        module = sys.modules.pop(name, None)
        try:
            left.append(weakref.ref(module))
        except TypeError:
            pass
        del module
    gc.collect()
    for reference in reversed(left):
        module = reference()
        namespace = getattr(module, "__dict__", None)
        if type(namespace) is dict:
            _clear(namespace)
    gc.collect()


def _clear(namespace):
    """Lets the values of a module go: first those with one underscore, as Python does."""
    for name in list(namespace):
        if name[:1] == "_" and name[1:2] != "_":
            namespace[name] = None
    for name in list(namespace):
        if name != "__builtins__":
            namespace[name] = None
