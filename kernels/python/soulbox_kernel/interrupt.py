"""SIGINT: an exception in the cell that runs, nothing otherwise."""

import signal


class Interrupts:
    """The handler of SIGINT, and whether a cell runs."""

    def __init__(self):
        self.running = False

    def take(self):
        """Makes this the handler; before each cell, since code may have set its own."""
        signal.signal(signal.SIGINT, self._handle)

    def leave(self):
        """In a forked child: a process like any other."""
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def _handle(self, _number, _frame):
        if self.running:
            raise KeyboardInterrupt
