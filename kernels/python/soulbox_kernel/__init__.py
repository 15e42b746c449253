"""The Python kernel: IPython's InteractiveShell behind one Unix socket.

`prepare` does all that may be shared by processes forked later, `serve` what each process must do
for itself, and then runs cells until the socket closes. `python3 -m soulbox_kernel --control FD` is
one after the other. What goes over the socket is told in `protocol.py`.
"""

__all__ = ["prepare", "serve"]


def __getattr__(name):
    # Late, so that other kernels can take the protocol from here without IPython.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from soulbox_kernel import kernel

    return getattr(kernel, name)
