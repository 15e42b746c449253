"""The forms of values beyond IPython's own: JSON, tables and charts.

Classes of pandas and matplotlib are known by name, so nothing is imported for a user who does not.
"""

import sys
import warnings

from IPython.core.formatters import BaseFormatter
from traitlets import ObjectName, Unicode

from soulbox_kernel.charts import chart
from soulbox_kernel.plain import NotPlain, TooManyValues, plain
from soulbox_kernel.result import note


class DataFormatter(BaseFormatter):
    """Tables as a map from column to list of values."""

    format_type = Unicode("e2b/data")
    print_method = ObjectName("_repr_e2b_data_")
    _return_type = (dict, str)


class ChartFormatter(BaseFormatter):
    """Figures as the numbers they were drawn from."""

    format_type = Unicode("e2b/chart")
    print_method = ObjectName("_repr_e2b_chart_")
    _return_type = (dict, str)

    def __call__(self, obj):
        # Not registered by type: choosing figure formats takes the type out of every formatter.
        module = sys.modules.get("matplotlib.figure")
        if module is not None and isinstance(obj, module.Figure):
            return chart(obj)
        return super().__call__(obj)


def _json(value):
    try:
        return plain(value)
    except TooManyValues as error:
        note(f"the application/json form of a result was left out: it {error}")
    except NotPlain:
        pass
    return None


def _table(frame):
    with warnings.catch_warnings():
        # Of columns with one name the last is told; pandas would warn of that each time.
        warnings.simplefilter("ignore")
        columns = frame.to_dict(orient="list")
    try:
        return plain(columns, otherwise=str)
    except NotPlain as error:
        note(f"the e2b/data form of a result was left out: it {error}")
        return None


def _png(figure):
    from IPython.core.pylabtools import print_figure

    return print_figure(figure, "png")


def register(shell):
    """Adds the forms to a shell."""
    display = shell.display_formatter
    formatters = display.formatters
    formatters["application/json"].for_type(list, _json)
    formatters["application/json"].for_type(dict, _json)
    data = DataFormatter(parent=display)
    data.for_type_by_name("pandas", "DataFrame", _table)
    data.for_type_by_name("pandas.core.frame", "DataFrame", _table)
    formatters["e2b/data"] = data
    formatters["e2b/chart"] = ChartFormatter(parent=display)
    # Until pyplot's inline backend sets its own, with the user's choices.
    formatters["image/png"].for_type_by_name("matplotlib.figure", "Figure", _png)
