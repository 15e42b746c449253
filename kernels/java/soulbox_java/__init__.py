"""The Java kernel: the JDK's own JShell behind one Unix socket.

`serve` starts a Java machine and runs cells in it until the socket closes; `python3 -m soulbox_java
--control FD` does it in a process of its own. What goes over the socket is told in
`soulbox_kernel.protocol`.
"""

from soulbox_java.kernel import serve

__all__ = ["serve"]
