"""Sandboxes of the bare kind, a zygote, and its broker's side, for tests. Needs root."""

import array
import contextlib
import ctypes
import os
import signal
import socket
import struct
import subprocess
import sys

from tests.driver import PATIENCE

OWNER = 0x6F00_0000
"""The zygote's user, who creates the user namespaces; nobody else on a machine has this id."""

FIRST = 0x6F01_0000
"""The first of the ids of sandboxes; each has 65,536."""

NAMESPACES = ("user", "pid", "mnt", "net", "ipc", "uts", "cgroup")
KINDS = ("ready", "joined", "failed")
REPLY = struct.Struct("<IIQiIiI8Q")
NEW_USER = 0x1000_0000
NEW_REST = 0x2000_0000 | 0x0002_0000 | 0x4000_0000 | 0x0800_0000 | 0x0400_0000 | 0x0200_0000

libc = ctypes.CDLL(None, use_errno=True)


SET_DUMPABLE = 4


def must(result):
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


class Sandbox:
    """Namespaces of all kinds with a first process that tells whose end it was told of."""

    def __init__(self, number, owner=OWNER):
        self.base = FIRST + number * 65536
        ready, told = os.pipe()
        go, start = os.pipe()
        self.ends, ends = os.pipe()
        self.maker = os.fork()
        if self.maker == 0:
            try:
                self._make(number, owner, told, go, ends)
            except BaseException as error:
                os.write(2, f"sandbox: {error!r}\n".encode())
            os._exit(1)
        os.close(ends)
        assert os.read(ready, 1) == b"u", "the user namespace was not made"
        for name in ("uid_map", "gid_map"):
            with open(f"/proc/{self.maker}/{name}", "w") as file:
                file.write(f"0 {self.base} 65536")
        os.write(start, b"g")
        data = os.read(ready, 16)
        assert data, "the sandbox was not made"
        self.first = int(data)
        for fd in (ready, told, go, start):
            os.close(fd)

    def _make(self, number, owner, told, go, ends):
        os.setgroups([])
        os.setresgid(owner, owner, owner)
        os.setresuid(owner, owner, owner)
        must(libc.unshare(NEW_USER))
        os.write(told, b"u")
        os.read(go, 1)
        os.setresgid(0, 0, 0)
        os.setresuid(0, 0, 0)
        must(libc.unshare(NEW_REST))
        # As a program that is started in there; a mere copy from outside is shut to the owner (ptrace(2)).
        must(libc.prctl(SET_DUMPABLE, 1, 0, 0, 0))
        first = os.fork()
        if first:
            os.write(told, str(first).encode())
            # The owner's own process stays, for its children's sake only.
            with contextlib.suppress(ChildProcessError):
                os.waitpid(first, 0)
            os._exit(0)
        must(libc.mount(b"none", b"/", None, 0x44000, None))
        must(libc.mount(b"proc", b"/proc", b"proc", 0, None))
        must(libc.mount(b"tmpfs", b"/mnt", b"tmpfs", 0, None))
        os.chmod("/mnt", 0o777)
        socket.sethostname(f"sandbox-{number}")
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
        os.write(told, b"")
        while True:
            signal.sigwait([signal.SIGCHLD])
            with contextlib.suppress(ChildProcessError):
                while True:
                    pid, status = os.waitpid(-1, os.WNOHANG)
                    if pid == 0:
                        break
                    os.write(ends, f"{pid} {os.waitstatus_to_exitcode(status)}\n".encode())

    def namespaces(self):
        """What a request has: the first process, and its namespaces but those of users and networks."""
        return [os.pidfd_open(self.first)] + [os.open(f"/proc/{self.first}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC)
                for name in NAMESPACES if name not in ("user", "net")]

    def end(self):
        """The next process that the first was told of, and its exit code."""
        line = b""
        while not line.endswith(b"\n"):
            byte = os.read(self.ends, 1)
            if not byte:
                raise EOFError
            line += byte
        return tuple(int(word) for word in line.split())

    def kill(self):
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.first, signal.SIGKILL)
        os.waitpid(self.maker, 0)
        os.close(self.ends)


class Reply:
    def __init__(self, data, pid):
        _, kind, self.id, self.pid, self.step, self.errno, _, *self.laps = REPLY.unpack(data)
        self.kind = KINDS[kind]
        self.outer_pid = pid


class Child:
    """A process that a zygote made: its control socket, and who it is."""

    def __init__(self, control, reply):
        self.control = control
        self.reply = reply
        self.pid = reply.pid

    def frame(self):
        from tests.driver import Conversation

        return Conversation(self.control).frame()

    def told(self):
        """The exit status of a script as it tells it itself; None if it ends without a word."""
        import json

        data, frames = b"", []
        while more := self.control.recv(4096):
            data += more
        while data:
            size = 4 + int.from_bytes(data[:4], "big")
            frames.append(json.loads(data[4:size]))
            data = data[size:]
        if [frame["type"] for frame in frames] == ["joined"]:
            return None
        assert [frame["type"] for frame in frames] == ["joined", "ended"], frames
        return frames[1]["status"]

    def send(self, text, descriptors=()):
        data = text.encode()
        socket.send_fds(self.control, [struct.pack(">I", len(data)) + data], descriptors)


class Broker:
    """A zygote of the directory `directory`, and its broker's side of the socket."""

    def __init__(self, directory, *arguments, python="/usr/bin/python3", owner=OWNER):
        self.socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(PATIENCE)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._id = 0
        self.told = None
        with theirs:
            # Descriptor 3 for the zygote, whatever has it here.
            command = ["setpriv", f"--reuid={owner}", f"--regid={owner}", "--clear-groups", "--inh-caps=-all",
                       "--bounding-set=-all", "env", "-i", python, f"{directory}/zygote.py", "--broker", "3", *arguments]
            self.process = subprocess.Popen(
                ["sh", "-c", f'exec "$@" 3<&{theirs.fileno()} {theirs.fileno()}<&-', "sh",
                 "unshare", "--mount", "--net", "--ipc", "--uts", *command],
                pass_fds=[theirs.fileno()], env={}, stdin=subprocess.DEVNULL, cwd="/",
            )
        try:
            self.ready = self.reply()
        except EOFError:
            self.close()
            raise
        assert self.ready.kind == "ready", self.ready.kind

    def close(self):
        """Closes the socket; gives the zygote's exit status."""
        self.socket.close()
        return self.process.wait(PATIENCE)

    def reply(self):
        data, control, _, _ = self.socket.recvmsg(4096, 64)
        if not data:
            raise EOFError("the zygote has ended")
        pid = next((struct.unpack("iii", body)[0] for level, kind, body in control if kind == 2), 0)
        return Reply(data, pid)

    def request(self, sandbox, *, uid=1000, gid=1000, groups=(), capabilities=0, bounding=0, limits=(), entrances=(),
                directory=b"/", namespaces=None, control=None, umask=0o022):
        """Sends a request; gives its id and the agent's side of the control socket."""
        self._id += 1
        ours, theirs = socket.socketpair() if control is None else control
        fds = sandbox.namespaces() if namespaces is None else namespaces
        numbers = [number for limit in limits for number in limit]
        message = struct.pack(
            "<IIQIIQQHHHH16I24Q", 1, umask, self._id, uid, gid, capabilities, bounding, len(groups), len(limits),
            len(entrances), len(directory), *groups, *[0] * (16 - len(groups)), *numbers, *[0] * (24 - len(numbers)),
        ) + directory
        with theirs:
            rights = array.array("i", [*fds, *entrances, theirs.fileno()])
            self.socket.sendmsg([message], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
        for fd in fds:
            os.close(fd)
        ours.settimeout(PATIENCE)
        return self._id, ours

    def join(self, sandbox, **fields):
        """A child in the sandbox; raises AssertionError with the reply if there is none."""
        id, control = self.request(sandbox, **fields)
        reply = self.reply()
        assert (reply.kind, reply.id) == ("joined", id), (reply.kind, reply.step, os.strerror(reply.errno))
        return Child(control, reply)

    def run(self, sandbox, path, argv=(), env=None, cwd=None, stdin=b"", **fields):
        """Runs a script in the sandbox; gives its output, its error output and its exit status. `told` is
        then the status that it told of before its end, if it did."""
        import json

        child = self.join(sandbox, **fields)
        with child.control:
            pipes = [os.pipe() for _ in range(3)]
            os.write(pipes[0][1], stdin)
            os.close(pipes[0][1])
            request = {"type": "script", "path": path, "argv": list(argv), "env": env or {}, "cwd": cwd}
            child.send(json.dumps(request), [pipes[0][0], pipes[1][1], pipes[2][1]])
            for fd in (pipes[0][0], pipes[1][1], pipes[2][1]):
                os.close(fd)
            out, err = (read_all(pipes[number][0]) for number in (1, 2))
            self.told = child.told()
        while True:
            pid, status = sandbox.end()
            if pid == child.pid:
                return out, err, status


def read_all(fd):
    data = b""
    while more := os.read(fd, 1 << 16):
        data += more
    os.close(fd)
    return data
