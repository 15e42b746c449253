"""The buffers that C code prints into."""

import ctypes


def flusher():
    """A function that writes out what C's stdout and stderr still keep."""
    try:
        libc = ctypes.CDLL(None)
        files = [ctypes.c_void_p.in_dll(libc, name) for name in ("stdout", "stderr")]
    except (OSError, ValueError, AttributeError):
        return lambda: None
    flush = libc.fflush

    def flush_both():
        # One by one: all files at once would wait for a thread that reads from one.
        for file in files:
            flush(file)

    return flush_both
