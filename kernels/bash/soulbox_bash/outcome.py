"""How the end of a cell is told: an exit status other than 0 is an error."""

import signal

from soulbox_kernel.conversation import Failure

INTERRUPTED = 128 + signal.SIGINT
"""Exit status of a cell that an interrupt has ended."""


def failure(status, interrupted):
    """The failure that exit status `status` of a cell is; None for success."""
    if status == 0:
        return None
    if interrupted:
        # The name that an interrupt has in Python, so that clients know one name for it.
        return Failure("KeyboardInterrupt", "", f"interrupted (exit status {status})")
    # The form of E2B's kernel: no name, and the status as the value.
    return Failure("", str(status), f"exit status {status}{_meaning(status)}")


def _meaning(status):
    try:
        return f" ({signal.Signals(status - 128).name})" if status > 128 else ""
    except ValueError:
        return ""
