"""The life of a Java kernel: one thread that listens to the agent, to the Java machine and to its output."""

import os
import select
import signal
import time

from soulbox_java.machine import Machine
from soulbox_kernel import protocol
from soulbox_kernel.capture import GATHER
from soulbox_kernel.conversation import Conversation, Failure, captured, connected

PATIENCE = 4.0
"""Seconds an interrupted cell has before the Java machine is killed."""

FAREWELL = 1.0
"""Seconds the Java machine has to end when the agent has closed the socket."""


def serve(fd):
    """Runs cells for the agent at the other end of socket `fd` until it closes the socket.

    Takes over SIGINT of this process; the calling thread must be the main one. Gives the exit
    status that the process should have. Raises OSError if `fd` is not a connected socket above 2.
    """
    control = connected(fd)
    try:
        return Kernel(control).run()
    except FileNotFoundError as error:
        raise OSError(f"cannot start java: {error}") from None


class Kernel:
    """The Java machine, its output and the agent."""

    def __init__(self, control):
        (output, out), (errors, err) = captured("stdout"), captured("stderr")
        self._captures = [output, errors]
        self._conversation = Conversation(control, self._captures)
        self._machine = Machine(out, err)
        self._awake, self._wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        # The first end says that it is ready.
        self._ready = False
        self._version = ""
        self._silent = False
        self._asked = False
        self._running = None
        self._failure = None
        self._count = 1
        self._interrupted = None
        self._status = None
        self._poll = select.poll()
        for descriptor in (self._conversation.fileno(), self._awake, self._machine.news, self._machine.exit,
                           *(capture.pipe for capture in self._captures)):
            self._poll.register(descriptor, select.POLLIN)

    def run(self):
        """Serves until the agent or the Java machine has gone; gives the exit status."""
        signal.signal(signal.SIGINT, self._signalled)
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        try:
            while self._status is None:
                self._turn()
        except (BrokenPipeError, ConnectionResetError):
            self._leave()
        except protocol.FrameTooLarge as error:
            # What follows such a length cannot be understood any more.
            os.write(2, f"soulbox_java: {error}\n".encode())
            self._leave()
            self._status = 70
        return self._status or 0

    def _signalled(self, _number, _frame):
        # Not more than that: it comes in the midst of an order, too.
        self._asked = True

    def _turn(self):
        events = dict(self._poll.poll(self._wait()))
        if self._awake in events:
            os.read(self._awake, 4096)
            self._interrupt()
        for capture in self._captures:
            if capture.pipe in events:
                capture.read()
        if self._machine.news in events:
            self._hear()
        if self._machine.exit in events:
            return self._ended()
        if self._interrupted is not None and time.monotonic() - self._interrupted > PATIENCE:
            self._machine.kill()
        self._conversation.send_due(time.monotonic())
        if self._conversation.fileno() in events and not self._conversation.receive():
            return self._leave()
        # Some end at once, and nothing would wake us for those behind them.
        while self._ready and self._running is None and self._next():
            pass

    def _wait(self):
        """Milliseconds to sleep at most; None for as long as nothing happens."""
        if any(capture.waiting for capture in self._captures):
            return GATHER * 500
        return None if self._interrupted is None else 50

    def _next(self):
        """Begins the next request; False if none waits."""
        request = self._conversation.next()
        if request is None:
            return False
        self._running, self._failure, self._interrupted = request, None, None
        # A signal that is older was meant for no cell, or for one that has ended.
        self._asked = False
        try:
            getattr(self, f"_{request.type}")(request.message)
        except Failure as failure:
            self._failure = failure
            self._end()
        return True

    def _execute(self, message):
        environment = _checked(message.get("env") or {})
        code = message["code"]
        if None in environment.values():
            raise Failure("ValueError", "the value of a variable of one cell must be text")
        self._silent = bool(message.get("silent"))
        number = self._count
        if not self._silent:
            self._conversation.count(number)
            self._count += bool(code.strip())
        self._machine.cell(protocol.sound(code), number, environment)

    def _set_env(self, message):
        self._machine.properties(_checked(message["env"]))

    def _cd(self, message):
        try:
            os.chdir(message["path"])
        except (OSError, ValueError) as error:
            raise Failure(type(error).__name__, str(error)) from None
        self._machine.directory(os.getcwd())

    def _hear(self):
        for kind, texts in self._machine.heard():
            if kind == b"E" and not self._ready:
                self._ready = True
                self._conversation.send({"type": "ready", "protocol": protocol.VERSION, "pid": os.getpid(),
                                         "java": self._version})
            elif kind == b"R" and not self._ready:
                self._version = texts[0]
            elif self._running is None:
                continue
            elif kind == b"R" and not self._silent:
                self._value(texts[0])
            elif kind == b"X":
                self._failure = Failure(*texts)
            elif kind == b"E":
                self._end()

    def _value(self, text):
        try:
            self._conversation.result({"text/plain": text})
        except protocol.FrameTooLarge as error:
            self._failure = Failure("ResultTooLarge", str(error))

    def _end(self):
        failure, self._running, self._interrupted = self._failure, None, None
        self._conversation.end(failure)

    def _ended(self):
        """The Java machine has ended without being asked to: it was killed, or a cell has called `System.exit`."""
        # What it said before it ended comes first.
        self._hear()
        status = self._machine.reap()
        if self._ready:
            if self._running is not None and status < 128:
                self._conversation.note(f"the cell has ended its Java machine with status {status}")
            self._conversation.flush(final=True)
        else:
            for capture in self._captures:
                capture.fetch()
                os.write(2, "".join(capture.all(True)).encode())
        self._status = status or 1

    def _interrupt(self):
        running, asked, self._asked = self._running, self._asked, False
        if asked and running is not None and running.type == "execute" and self._interrupted is None:
            self._interrupted = time.monotonic()
            self._machine.interrupt()

    def _leave(self):
        self._status = 0
        if self._running is not None:
            self._machine.kill()
        else:
            self._machine.close()
            if not select.select([self._machine.exit], [], [], FAREWELL)[0]:
                self._machine.kill()
        self._machine.reap()


def _checked(environment):
    """The variables of a request. Raises Failure if Java cannot have one of them as a property."""
    for name, value in environment.items():
        if not name or not isinstance(value, (str, type(None))):
            raise Failure("ValueError", f"the variable {name!r} cannot be a property: it needs a name, and its value "
                                        "must be text")
    return environment
