"""The thread that talks to the agent.

Cells run on the main thread, where any moment may bring an exception of a signal handler. So the
main thread never touches the socket: it hands whole frames to this one, which nobody interrupts,
and which alone knows what request runs. This thread also reads the pipes that descriptors 1 and 2
are, so the output of child processes and C code arrives like Python's own.
"""

import _thread
import os
import queue
import select
import signal
import socket
import time
from collections import deque

from soulbox_kernel import protocol
from soulbox_kernel.protocol import BadRequest, FrameTooLarge, Reader

TICK = 0.015
"""Seconds between two looks at what running code has printed. With `capture.GATHER` this is what
output is late by: below 50 ms."""

RECEIVE = 64 * 1024
"""Bytes taken from the socket at once."""

EXIT_LOST = 70
"""Exit status when the conversation cannot go on: a frame too large, or a fault of this thread."""


class _End:
    """The main thread is done with a request."""

    def __init__(self, request):
        self.request = request


class _Frame:
    """A frame that must come after all output before it. `sent` opens when it has gone."""

    def __init__(self, data):
        self.data = data
        self.sent = _thread.allocate_lock()
        self.sent.acquire()


class Wire:
    """One conversation, over nothing until it is started."""

    def __init__(self):
        self.current = None
        self.closed = False
        self.left = False
        self.waker = None
        self._control = None
        self._captures = []
        self._log = None
        self._event = None
        self._reader = Reader()
        self._waiting = deque()
        self._outgoing = deque()
        self._tokens = queue.SimpleQueue()
        self._poll = select.poll()

    def start(self, control, captures, log, ready):
        """Sends the message `ready` and begins to listen at `control`, a connected stream socket. `captures`
        are the streams to read, `log` the descriptor that faults of this thread go to."""
        self._control, self._captures, self._log = control, captures, log
        self._event = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        for descriptor in (control.fileno(), self._event, *(capture.pipe for capture in captures)):
            self._poll.register(descriptor, select.POLLIN)
        self._send([protocol.encode(ready)])
        # None of `threading`'s: nobody waits for it or looks for it, and it costs a tenth of those.
        _thread.start_new_thread(self._run, ())

    # What the main thread and threads of cells call.

    def wait(self, idle):
        """The next request; None when the agent has closed the socket.

        Calls `idle` before it sleeps. An exception out of here loses nothing: ask again.
        """
        while True:
            request = self.current
            if request is not None and not request.done:
                return request
            if self.closed:
                return None
            idle(self)
            self._tokens.get()

    def count(self, number):
        """Tells the execution count of the running cell."""
        # Not urgent enough to wake the thread: the cell's end or the next look takes it along.
        self._outgoing.append(protocol.encode(
            {"type": "count", "id": self._id(), "execution_count": number}))

    def result(self, data, is_main):
        """Tells a value, behind all output so far. Raises `FrameTooLarge`."""
        frame = _Frame(protocol.encode(
            {"type": "result", "id": self._id(), "is_main_result": is_main, "data": data}))
        self._outgoing.append(frame)
        self._wake()
        frame.sent.acquire()

    def error(self, name, value, traceback):
        """Tells the error of the running cell, behind all output so far."""
        frame = _Frame(protocol.encode(
            {"type": "error", "id": self._id(), "name": name, "value": value, "traceback": traceback}))
        self._outgoing.append(frame)
        self._wake()
        frame.sent.acquire()

    def end(self, request):
        """Ends a request. Saying it twice does no harm."""
        self._outgoing.append(_End(request))
        self._wake()

    def leave(self):
        """In a forked child: lets go of the conversation, which stays the parent's."""
        self.left = True
        for descriptor in (self._control.detach(), self._event, self._log, *(c.pipe for c in self._captures)):
            os.close(descriptor)

    def _id(self):
        request = self.current
        return None if request is None else request.id

    def _wake(self):
        os.eventfd_write(self._event, 1)

    # What only the thread calls.

    def _run(self):
        # Signals are for the main thread, whose system calls they must wake.
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            while self._turn():
                pass
        except (BrokenPipeError, ConnectionResetError):
            self._close()
        except BaseException as fault:
            os.write(self._log, f"soulbox_kernel: the wire broke: {fault!r}\n".encode())
            os._exit(EXIT_LOST)

    def _turn(self):
        busy = self.current is not None or any(c.waiting for c in self._captures)
        events = dict(self._poll.poll(TICK * 1000 if busy else None))
        for capture in self._captures:
            if capture.pipe in events:
                capture.read()
        if self._event in events:
            os.eventfd_read(self._event)
        self._flush_outgoing()
        if self.current is not None:
            for capture in self._captures:
                capture.fetch()
        now = time.monotonic()
        self._send([self._output(c.name, text) for c in self._captures for text in c.due(now)])
        return self._control.fileno() not in events or self._receive()

    def _flush_outgoing(self):
        frames, sent = [], []
        while self._outgoing:
            item = self._outgoing.popleft()
            if isinstance(item, bytes):
                frames.append(item)
            elif isinstance(item, _Frame):
                frames += [*self._all_output(final=False), item.data]
                sent.append(item)
            elif item.request is self.current:
                frames += self._last_frames(item.request)
                self._hand_over()
        self._send(frames)
        for item in sent:
            item.sent.release()

    def _last_frames(self, request):
        # First, so that what a thread prints from now on goes into the pipe by itself.
        for capture in self._captures:
            capture.keep(False)
        return [*self._all_output(final=True),
                protocol.encode({"type": "end", "id": request.id, "status": request.status})]

    def _hand_over(self):
        """Gives the main thread the next request, if one waits."""
        self.current = self._waiting.popleft() if self._waiting else None
        for capture in self._captures:
            capture.keep(self.current is not None)
        if self.current is not None:
            self._alert()

    def _alert(self):
        self._tokens.put(None)
        waker = self.waker
        if waker is not None:
            waker()

    def _receive(self):
        try:
            data = self._control.recv(RECEIVE, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return True
        if not data:
            return self._close()
        for item in self._reader.feed(data):
            if isinstance(item, BadRequest):
                self._refuse(item.id, "BadRequest", str(item))
            elif len(self._waiting) >= protocol.WAITING_LIMIT:
                self._refuse(item.id, "TooManyRequests",
                             f"{protocol.WAITING_LIMIT} requests wait already; send fewer at once")
            else:
                self._waiting.append(item)
        if self.current is None and self._waiting:
            self._hand_over()
        return True

    def _refuse(self, id, name, value):
        frames = [{"type": "error", "id": id, "name": name, "value": value, "traceback": ""}]
        if id is not None:
            frames.append({"type": "end", "id": id, "status": "error"})
        self._send([protocol.encode(frame) for frame in frames])

    def _close(self):
        # Code that runs would run for ever: nobody is left to interrupt it.
        if self.current is not None:
            os._exit(0)
        self.closed = True
        self._alert()
        return False

    def _all_output(self, final):
        for capture in self._captures:
            capture.fetch()
        return [self._output(c.name, text) for c in self._captures for text in c.all(final)]

    def _output(self, name, text):
        return protocol.encode({"type": name, "id": self._id(), "text": text})

    def _send(self, frames):
        if frames:
            self._control.sendall(b"".join(frames))
