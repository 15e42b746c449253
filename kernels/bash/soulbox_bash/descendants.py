"""The processes below another one."""

import os
import signal


class Process:
    """One process, told apart from a later one with the same id by when it started."""

    def __init__(self, pid, start):
        self.pid = pid
        self.start = start

    def __eq__(self, other):
        return (self.pid, self.start) == (other.pid, other.start)

    def __hash__(self):
        return hash((self.pid, self.start))

    def kill(self):
        """Sends SIGKILL, unless the process has gone or belongs to somebody else."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except OSError:
            return
        try:
            now = _stat(self.pid)
            if now is not None and now[1] == self.start:
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        except OSError:
            pass
        finally:
            os.close(descriptor)


def children(pid):
    """The ids of a process's children."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children", "rb") as file:
            return frozenset(int(word) for word in file.read().split())
    except OSError:
        return frozenset()


def _stat(pid):
    """`(parent, start time in clock ticks)` of a process; None if there is none."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The program's name is in parentheses and may hold any character.
            fields = file.read().rpartition(b")")[2].split()
        return int(fields[1]), int(fields[19])
    except (OSError, IndexError, ValueError):
        return None


def descendants(root, without=frozenset()):
    """All `Process`es below process `root`, except those with the ids `without` and all below them."""
    by_parent = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            found = _stat(int(name))
            if found is not None:
                by_parent.setdefault(found[0], []).append(Process(int(name), found[1]))
    below, open_ends = set(), [root]
    while open_ends:
        for child in by_parent.get(open_ends.pop(), ()):
            if child not in below and child.pid not in without:
                below.add(child)
                open_ends.append(child.pid)
    return below
