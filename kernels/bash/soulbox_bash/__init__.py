"""The bash kernel: one interactive bash behind one Unix socket.

`serve` starts bash and runs cells until the socket closes; `python3 -m soulbox_bash --control FD`
does it in a process of its own. What goes over the socket is told in `soulbox_kernel.protocol`.
"""

from soulbox_bash.kernel import serve

__all__ = ["serve"]
