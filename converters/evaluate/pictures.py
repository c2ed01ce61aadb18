"""Plots of quality cards as SVG text, to stand inside a page."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

_BLUE = "#3b6ea5"
_RED = "#b5443c"


def bars(
    values: Mapping[str, float],
    *,
    title: str,
    label: str,
    limit: float | None = None,
    marked: Sequence[str] = (),
) -> str:
    """Horizontal bars in the order given, ``marked`` ones in red, with a line at ``limit``."""
    figure, axes = _canvas(0.32 * len(values) + 1.0)
    names = list(values)
    colours = [_RED if name in marked else _BLUE for name in names]
    drawn = axes.barh(range(len(names)), [values[name] for name in names], color=colours)
    axes.bar_label(drawn, fmt="%.3g", padding=3, fontsize=8)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set_xlabel(label, fontsize=8)
    axes.set_title(title, fontsize=10)
    if limit is not None:
        axes.axvline(limit, color=_RED, linewidth=1, linestyle="--")
    return _svg(figure)


def scatter(
    points: Mapping[str, tuple[float, float]], *, title: str, x_label: str, y_label: str
) -> str:
    """Named points; the vertical axis is logarithmic where every value is positive."""
    figure, axes = _canvas(3.6)
    for name, (x, y) in points.items():
        axes.plot(x, y, "o", color=_BLUE)
        axes.annotate(name, (x, y), textcoords="offset points", xytext=(4, 4), fontsize=8)
    if all(y > 0 for _, y in points.values()):
        axes.set_yscale("log")
    axes.margins(0.15)
    axes.set_xlabel(x_label, fontsize=8)
    axes.set_ylabel(y_label, fontsize=8)
    axes.set_title(title, fontsize=10)
    return _svg(figure)


def _canvas(height: float) -> tuple[Any, Any]:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    # The same figures give the same bytes; text stays text.
    mpl.rcParams.update({"svg.hashsalt": "card", "svg.fonttype": "none"})
    figure = Figure(figsize=(7.2, height), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    return figure, axes


def _svg(figure: Any) -> str:
    written = io.StringIO()
    # With nothing to say of itself, the picture needs none of the vocabularies for saying it.
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(written, format="svg", metadata=nothing)
    return written.getvalue().partition("<svg")[1] + written.getvalue().partition("<svg")[2]
