"""Figures as data, by the package `e2b_charts` where it is installed."""


def chart(figure):
    """What the figure shows; `{}` if it shows nothing or cannot be read, None without the package."""
    try:
        from e2b_charts import chart_figure_to_dict
    except ImportError:
        return None
    try:
        return chart_figure_to_dict(figure)
    except Exception:
        # The package reads matplotlib's insides; what it does not know is no fault of the user's.
        return {}
