"""The life of a bash kernel: one thread that listens to the agent, to bash and to its output."""

import os
import select
import signal
import time

from soulbox_bash.outcome import INTERRUPTED
from soulbox_bash.requests import Requests
from soulbox_bash.shell import Shell
from soulbox_kernel import protocol
from soulbox_kernel.capture import GATHER
from soulbox_kernel.conversation import Conversation, captured, connected

PATIENCE = 2.0
"""Seconds an interrupted cell has before what it started is killed; as many again for bash itself."""

WAIT_FOR_WORD = 0.05
"""Seconds after an interrupt before bash is asked again whether the cell has ended."""

FAREWELL = 1.0
"""Seconds bash has to end when the agent has closed the socket."""


def serve(fd):
    """Runs cells for the agent at the other end of socket `fd` until it closes the socket.

    Takes over SIGINT of this process; the calling thread must be the main one. Gives the exit
    status that the process should have. Raises OSError if `fd` is not a connected socket above 2.
    """
    return Kernel(connected(fd)).run()


class Kernel:
    """Bash, its output and the agent."""

    def __init__(self, control):
        (output, out), (errors, err) = captured("stdout"), captured("stderr")
        self._captures = [output, errors]
        self._conversation = Conversation(control, self._captures)
        self._shell = Shell(out, err)
        self._requests = Requests(self._shell, self._conversation)
        self._awake, self._wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._interrupted = None
        self._forced = False
        self._status = None

    def run(self):
        """Serves until the agent or bash has gone; gives the exit status."""
        signal.signal(signal.SIGINT, self._interrupt)
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        self._conversation.send({"type": "ready", "protocol": protocol.VERSION, "pid": os.getpid(),
                                 "bash": self._version()})
        try:
            while self._status is None:
                self._turn()
        except (BrokenPipeError, ConnectionResetError):
            self._leave()
        except protocol.FrameTooLarge as error:
            # What follows such a length cannot be understood any more.
            os.write(2, f"soulbox_bash: {error}\n".encode())
            self._leave()
            self._status = 70
        return self._status or 0

    def _version(self):
        self._shell.inner(b"builtin printf '%s' \"$BASH_VERSION\" >&2")
        select.select([self._shell.news, self._shell.exit], [], [])
        if not any(self._shell.heard()):
            raise OSError("bash did not start")
        return self._shell.complaint()

    def _turn(self):
        # Descriptors change when bash is started again, and they are few.
        poll = select.poll()
        for descriptor in (self._conversation, self._awake, self._shell.news, self._shell.exit,
                           *(capture.pipe for capture in self._captures)):
            poll.register(descriptor, select.POLLIN)
        events = dict(poll.poll(self._wait()))
        if self._awake in events:
            os.read(self._awake, 4096)
        for capture in self._captures:
            if capture.pipe in events:
                capture.read()
        if self._shell.news in events:
            self._hear()
        if self._shell.exit in events:
            self._ended()
        self._insist()
        self._conversation.send_due(time.monotonic())
        if self._conversation.fileno() in events and not self._conversation.receive():
            self._leave()
        # Some end at once, and nothing would wake us for those behind them.
        while self._requests.running is None and self._next():
            pass

    def _wait(self):
        """Milliseconds to sleep at most; None for as long as nothing happens."""
        if any(capture.waiting for capture in self._captures):
            return GATHER * 500
        if self._forced:
            return 5
        return None if self._interrupted is None else 50

    def _next(self):
        """Begins the next request; False if none waits."""
        request = self._conversation.next()
        if request is None:
            return False
        self._interrupted, self._forced = None, False
        self._requests.begin(request)
        return True

    def _hear(self):
        ended = False
        for word, status, directory in self._shell.heard():
            ended = True
            if self._forced:
                # Whatever became of the rest of the cell: it did not end by itself.
                status = status or INTERRUPTED
            self._requests.heard(word, status, directory, self._interrupted is not None)
        if ended and self._interrupted is not None:
            # The cell has ended; what is left for the request takes its own time.
            self._interrupted = None if self._requests.running is None else time.monotonic()
            self._forced = False

    def _ended(self):
        """Bash has ended without a word: killed, replaced by a program, or by a trap of the user's."""
        status = self._shell.reap()
        if os.WIFSIGNALED(status):
            self._conversation.flush()
            self._status = 128 + os.WTERMSIG(status)
            return
        self._requests.restart(os.WEXITSTATUS(status))

    def _interrupt(self, _number, _frame):
        if self._requests.interruptible and self._interrupted is None:
            self._interrupted = time.monotonic()
            self._shell.interrupt()

    def _insist(self):
        """Ends what does not end by an interrupt."""
        if self._interrupted is None or self._requests.running is None:
            return
        late = time.monotonic() - self._interrupted
        if late > WAIT_FOR_WORD:
            self._shell.ask()
        if late > 2 * PATIENCE:
            self._shell.kill()
        elif late > PATIENCE:
            # Again and again: bash goes on behind a command that was killed.
            self._forced = True
            self._shell.stop(self._requests.before)
            self._shell.interrupt()

    def _leave(self):
        self._status = 0
        if self._requests.running is not None:
            self._shell.stop(self._requests.before)
            self._shell.kill()
        else:
            self._shell.close()
            if not select.select([self._shell.exit], [], [], FAREWELL)[0]:
                self._shell.kill()
        self._shell.reap()
