"""Matplotlib's figures, shown at the end of the cell that drew them.

matplotlib reads its backend from the environment when the user imports it, and the inline backend,
which IPython brings along, then adds itself to the shell.
"""

import functools
import importlib.util
import os
import sys

BACKEND = "module://matplotlib_inline.backend_inline"


@functools.cache
def _is_there():
    # Looked for once, in the zygote if there is one: it reads all directories of the path.
    return importlib.util.find_spec("matplotlib_inline") is not None


def choose():
    """Makes the inline backend the default, unless another is asked for."""
    if _is_there():
        os.environ.setdefault("MPLBACKEND", BACKEND)


def warm():
    """If pyplot is loaded: loads the backend and draws once, which takes long the first time."""
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is None or os.environ.get("MPLBACKEND") != BACKEND:
        return
    from matplotlib_inline import backend_inline

    figure = pyplot.figure()
    figure.add_subplot().set_title("warm")
    figure.canvas.draw()
    pyplot.close("all")
    backend_inline.show._draw_called = False
    backend_inline.show._to_draw = []
