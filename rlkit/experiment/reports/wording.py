"""Numbers in words, as reports and the demo write them."""

import numpy as np


def percent(value: float) -> str:
    """``0.9375`` as ``"93.8 %"``; a dash if undefined."""
    return f"{100 * value:.1f} %" if np.isfinite(value) else "–"


def plain(value: float) -> str:
    """Three or four significant digits; a dash if undefined."""
    if not np.isfinite(value):
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def short(value: float) -> str:
    """A count with its unit prefix: ``"1.6 M"``."""
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"
