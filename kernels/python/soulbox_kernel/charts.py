"""Figures as data, by the package `e2b_charts` where it is installed."""

import warnings


def chart(figure):
    """What the figure shows; `{}` if it shows nothing or cannot be read, None without the package."""
    try:
        from e2b_charts import chart_figure_to_dict
    except ImportError:
        return None
    try:
        # Numbers of numpy where the package's models say float, are told on the user's stderr otherwise.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return chart_figure_to_dict(figure)
    except Exception:
        # The package reads matplotlib's insides; what it does not know is no fault of the user's.
        return {}
