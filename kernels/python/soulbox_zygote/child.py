"""A child: what each does for itself, up to what it is for.

It has joined its sandbox. Its descriptors are the standard three and its control socket, number 3:
a stream of frames, each four bytes of length (big-endian) and a JSON object. The library has sent
the first, `{"type": "joined", "pid": N}`. The first that comes says what the process is for:

    {"type": "kernel", "env": {NAME: VALUE}}
    {"type": "script", "path": PATH, "argv": [TEXT], "env": {NAME: VALUE}, "cwd": PATH}

`env` is the whole environment; a kernel's may be left out, and `cwd` and `argv` too. A kernel goes on
with its own protocol on the same socket. Beside a script's frame come three descriptors, its
standard streams, and the process ends as `python3 PATH ARGV` does. Before its memory is given back it
says so, with its exit status:

    {"type": "ended", "status": N}

Until then a script has the socket under a high number, which programs that it starts do not get. Who
hears nothing waits for the process's end: it was killed, or became another program.
"""

import fcntl
import json
import os
import select
import socket
import sys

from soulbox_zygote import ending, environment, script
from soulbox_zygote.reseed import reseed

CONTROL = 3

FRAME_LIMIT = 32 * 1024 * 1024
"""Bytes of JSON in a frame, as for a kernel's."""

TELLER = 63
"""Where a script has the socket: the highest number that costs no room."""

AT_ONCE = 2
"""Within how many milliseconds of its birth a child that was not made ahead hears what it is for."""

DESCRIPTORS = 3
"""How many come with a script."""

MISUSED = 70
"""The exit status of a child that cannot do what it is asked for (EX_SOFTWARE)."""


def live(library, plain, ready):
    """Does what the first frame says, and ends the process."""
    library.after_fork()
    reseed()
    control = socket.socket(fileno=CONTROL)
    if "soulbox_kernel" not in sys.modules and not is_waited_for(control):
        script.rehearse()
    request, descriptors = first_frame(control)
    kind = request.get("type")
    if kind == "script" and len(descriptors) == DESCRIPTORS:
        # Not to be closed as an object: the descriptor's number is free from here on.
        control.detach()
        script.run(request, descriptors, plain, ready, library, Teller())
    elif kind == "kernel" and "soulbox_kernel" in sys.modules:
        control.detach()
        environment.replace(request.get("env") or {})
        serve_kernel(library)
    os._exit(MISUSED)


def is_waited_for(control):
    """Whether somebody who waits for this very process has sent the first frame, or does so at once."""
    poll = select.poll()
    poll.register(control, select.POLLIN)
    return bool(poll.poll(AT_ONCE))


def first_frame(control):
    """The first frame and the descriptors beside it; never a byte of the second. Ends the process
    if the agent has closed the socket."""
    head, descriptors, _, _ = socket.recv_fds(control, 4, DESCRIPTORS)
    while len(head) < 4:
        head += received(control, 4 - len(head))
    size = int.from_bytes(head, "big")
    if size > FRAME_LIMIT:
        os._exit(MISUSED)
    try:
        request = json.loads(received(control, size))
    except (ValueError, RecursionError):
        os._exit(MISUSED)
    if not isinstance(request, dict):
        os._exit(MISUSED)
    return request, descriptors


def received(control, size):
    """Exactly `size` bytes."""
    data = control.recv(size, socket.MSG_WAITALL)
    while len(data) < size:
        more = control.recv(size - len(data), socket.MSG_WAITALL)
        if not more:
            os._exit(0)
        data += more
    return data


class Teller:
    """Says the exit status of this process, and of no other that it becomes two of."""

    def __init__(self):
        try:
            self.socket = fcntl.fcntl(CONTROL, fcntl.F_DUPFD_CLOEXEC, TELLER)
        except OSError:
            self.socket = -1
        self.process = os.getpid()

    def __call__(self, status):
        if self.socket < 0 or os.getpid() != self.process:
            return
        frame = json.dumps({"type": "ended", "status": status}).encode()
        try:
            # Its output is over when it is told so.
            os.closerange(0, 3)
            os.write(self.socket, len(frame).to_bytes(4, "big") + frame)
        except OSError:
            pass


def serve_kernel(library):
    import soulbox_kernel

    try:
        soulbox_kernel.serve(CONTROL, reseeded=True)
        status = 0
    except OSError as error:
        print(f"cannot serve on descriptor {CONTROL}: {error}", file=sys.stderr)
        status = 1
    ending.end(status, ending.Loaded(), library)
