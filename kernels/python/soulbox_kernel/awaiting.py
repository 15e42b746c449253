"""`await` at the top of a cell, and the tasks it leaves behind.

Cells without `await` run outside of the event loop, so `asyncio.run` works in them. Tasks that a
cell started go on while the kernel waits for the next one.
"""

import sys

GRACE = 1.0
"""Seconds in which an interrupted cell's coroutine may clean up."""


def runner(report):
    """What IPython is to run coroutines with; `report` is muted while an interrupt unwinds."""

    def run(coroutine):
        import asyncio

        from IPython.core.async_helpers import get_asyncio_loop

        loop = get_asyncio_loop()
        task = loop.create_task(coroutine)
        try:
            return loop.run_until_complete(task)
        except BaseException:
            if not task.done():
                # The interrupt is the cell's error, not the cancellation it brings about.
                report.muted = True
                task.cancel()
                loop.run_until_complete(asyncio.wait({task}, timeout=GRACE))
                report.muted = False
            raise

    return run


def go_on(wire):
    """Runs tasks left behind until a request arrives; returns at once if there are none."""
    asyncio = sys.modules.get("asyncio")
    helpers = sys.modules.get("IPython.core.async_helpers")
    loop = getattr(helpers, "_asyncio_event_loop", None)
    if asyncio is None or loop is None or loop.is_closed() or not asyncio.all_tasks(loop):
        return
    wire.waker = lambda: _stop(loop)
    try:
        # A request that came before the waker was set woke nobody.
        request = wire.current
        if not wire.closed and (request is None or request.done):
            loop.run_forever()
    finally:
        wire.waker = None


def _stop(loop):
    try:
        loop.call_soon_threadsafe(loop.stop)
    except RuntimeError:
        # A task closed the loop; then it does not run either.
        pass
