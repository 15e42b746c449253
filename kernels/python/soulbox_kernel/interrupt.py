"""Signals: SIGINT is an exception in the cell that runs, and nothing otherwise.

Code may set handlers and timers of its own. Between cells their exceptions have no cell to end;
they are swallowed there, so that they cannot end the kernel.
"""

import signal

# The same as signal's without the making of enums, which costs a tenth of a short cell.
from _signal import getsignal
from _signal import signal as setsignal

_INTERRUPT = int(signal.SIGINT)
_OTHERS = sorted(int(number) for number in signal.valid_signals() if number != signal.SIGINT)


class _Guarded:
    """A handler of the user's, whose exceptions go nowhere."""

    def __init__(self, handler):
        self.handler = handler

    def __call__(self, number, frame):
        try:
            self.handler(number, frame)
        except BaseException:
            pass


class Interrupts:
    """Who handles signals while a cell runs, and who between cells."""

    def __init__(self):
        self.running = False
        self._guarded = {}

    def begin(self):
        """A cell is about to run."""
        guarded, self._guarded = self._guarded, {}
        for number, guard in guarded.items():
            setsignal(number, guard.handler)
        self.running = True

    def finish(self):
        """The cell's code has ended: SIGINT is ours again, whatever it did. May be said twice."""
        self.running = False
        for number in _OTHERS:
            handler = getsignal(number)
            if callable(handler) and not isinstance(handler, _Guarded):
                self._guarded[number] = guard = _Guarded(handler)
                setsignal(number, guard)
        if getsignal(_INTERRUPT) != self._handle:
            setsignal(_INTERRUPT, self._handle)

    def leave(self):
        """In a forked child: a process like any other."""
        setsignal(_INTERRUPT, signal.default_int_handler)

    def _handle(self, _number, _frame):
        if self.running:
            raise KeyboardInterrupt
