"""Signals: SIGINT is an exception in the cell that runs, and nothing otherwise.

Code may set handlers and timers of its own. Between cells their exceptions have no cell to end;
they are swallowed there, so that they cannot end the kernel.
"""

import signal


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
        """A cell is about to run: SIGINT is ours again, whatever the one before did."""
        guarded, self._guarded = self._guarded, {}
        for number, guard in guarded.items():
            signal.signal(number, guard.handler)
        signal.signal(signal.SIGINT, self._handle)
        self.running = True

    def finish(self):
        """The cell's code has ended. Saying it twice does no harm."""
        self.running = False
        for number in signal.valid_signals():
            handler = signal.getsignal(number)
            if callable(handler) and number != signal.SIGINT and not isinstance(handler, _Guarded):
                self._guarded[number] = guard = _Guarded(handler)
                signal.signal(number, guard)
        if signal.getsignal(signal.SIGINT) != self._handle:
            signal.signal(signal.SIGINT, self._handle)

    def leave(self):
        """In a forked child: a process like any other."""
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def _handle(self, _number, _frame):
        if self.running:
            raise KeyboardInterrupt
