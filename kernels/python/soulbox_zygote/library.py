"""The native library: one function that returns in each child.

It has to be native. Between the zygote and a child lie processes that share memory with others,
and Linux wants every step of the way into a sandbox made by a process with one thread.
"""

import ctypes
import os

JOINED = 0
CLOSED = 1


class Library:
    """The library and what it is given; made before anything is preloaded."""

    def __init__(self, path, filter_program):
        # PyDLL: a child goes on with the interpreter's lock, which the zygote had.
        self._library = ctypes.PyDLL(path)
        self._serve = self._library.soulbox_zygote_serve
        self._serve.restype = ctypes.c_int
        self._filter = ctypes.create_string_buffer(filter_program, len(filter_program))
        libc = ctypes.CDLL(None)
        size = _number(libc, "__rseq_size", ctypes.c_uint)
        offset = _number(libc, "__rseq_offset", ctypes.c_ssize_t)
        self._arguments = (
            ctypes.cast(self._filter, ctypes.c_void_p),
            ctypes.c_size_t(len(filter_program) // 8),
            ctypes.c_ssize_t(offset),
            ctypes.c_size_t(size),
        )
        self.before_fork = ctypes.pythonapi.PyOS_BeforeFork
        self.after_fork = ctypes.pythonapi.PyOS_AfterFork_Child
        for hook in (self.before_fork, self.after_fork):
            hook.restype = None
            hook.argtypes = ()
        self.flush = libc.fflush

    def serve(self, broker):
        """Makes children until the broker closes its socket. True in each child."""
        result = self._serve(ctypes.c_int(broker), *self._arguments)
        if result < 0:
            raise OSError(-result, os.strerror(-result))
        return result == JOINED


def _number(libc, name, kind):
    """A number that glibc exports from 2.35 on; other C libraries have no such area."""
    try:
        return kind.in_dll(libc, name).value
    except ValueError:
        return 0
