"""What the requests of the agent do. Each leaves `request.status` and at most one error."""

import os

from soulbox_kernel.environment import Environment, assign
from soulbox_kernel.errors import CellExit, text_of


class Cells:
    """Runs requests with a shell. `after` is called when the code of a cell has ended."""

    def __init__(self, shell, wire, interrupts, after):
        self._shell = shell
        self._wire = wire
        self._interrupts = interrupts
        self._after = after

    def handle(self, request):
        """Does what is asked for; never raises an Exception."""
        report = self._shell.report
        report.begin(self._wire)
        message = request.message
        try:
            if request.type == "execute":
                self._execute(message)
            elif request.type == "set_env":
                assign(message["env"])
            else:
                os.chdir(message["path"])
        except Exception as error:
            report.tell(type(error).__name__, text_of(error), [])
        request.status = "error" if report.reported else "ok"

    def _execute(self, message):
        with Environment(message.get("env") or {}):
            silent = bool(message.get("silent"))
            if not silent:
                self._wire.count(self._shell.execution_count)
            self._run(message["code"], silent)
        self._after()

    def _run(self, code, silent):
        report = self._shell.report
        try:
            try:
                self._interrupts.begin()
                done = self._shell.run_cell(code, store_history=not silent, silent=silent)
            finally:
                self._interrupts.finish()
        except BaseException as error:
            # IPython lets through what hits it outside of the cell's code: interrupts, and code
            # that it cannot even look at.
            self._interrupts.finish()
            report.tell_exception(error)
            return
        error = done.error_before_exec or done.error_in_exec
        if error is not None and not isinstance(error, CellExit):
            # Shown already, or IPython failed to show it.
            report.tell_exception(error)
