"""The Python kernel: IPython's InteractiveShell behind one Unix socket.

`prepare` does all that may be shared by processes forked later, `serve` what each process must do
for itself, and then runs cells until the socket closes. `python3 -m soulbox_kernel --control FD` is
one after the other. What goes over the socket is told in `protocol.py`.
"""

from soulbox_kernel.kernel import prepare, serve

__all__ = ["prepare", "serve"]
