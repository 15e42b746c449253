"""What `display()` and figures go through."""

from IPython.core.displaypub import DisplayPublisher

from soulbox_kernel.result import send


class Publisher(DisplayPublisher):
    """Sends what is displayed as results that are not the cell's value."""

    def publish(self, data, metadata=None, source=None, *, transient=None, update=False, **_):
        # An update changes what a notebook shows already; results cannot be taken back.
        if not update:
            send(self.shell, data, is_main=False)

    def clear_output(self, wait=False):
        """Nothing to clear: what was sent is sent."""
