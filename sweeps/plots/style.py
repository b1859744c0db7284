"""One style for every plot: colours that the colour-blind can tell, marks of evidence, and files
that are the same bytes whenever they are made from the same results."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...base.files import writing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#4D4D4D")
"""Okabe and Ito's colours, the yellow late because it is faint on white."""
INK, FAINT = "#222222", "#9a9a9a"
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
NOTHING: Any = dict.fromkeys(("Date", "Creator", "Format", "Type"))
"""The metadata of an SVG: none."""

_RC: Any = {
    "svg.hashsalt": "moesaic",
    "svg.fonttype": "path",
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "legend.fontsize": 8,
    # Names come from users: a $ is a dollar, not the start of a formula.
    "text.parse_math": False,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}


@contextmanager
def figure(
    width: float = 7.2, height: float = 4.2, **subplots: Any
) -> Iterator[tuple[Figure, Any]]:
    """A figure and its axes in the house style; inches. The block draws on them."""
    import matplotlib
    from cycler import cycler
    from matplotlib.figure import Figure

    style: Any = {**_RC, "axes.prop_cycle": cycler(color=PALETTE)}
    with matplotlib.rc_context(style):
        made = Figure(figsize=(width, height), layout="constrained")
        yield made, made.subplots(**subplots)
        _write_powers_plainly(made)


def diagonal(axes: Axes, low: float, high: float, within: float) -> None:
    """A log-log plane for predicted against measured: the line where both are equal, and the band
    where they differ by less than `within`, a share."""
    line = [low, high]
    below, above = ([end * factor for end in line] for factor in (1 / (1 + within), 1 + within))
    axes.fill_between(line, below, above, color="#eeeeee", lw=0, label=f"within {within:.0%}")
    axes.plot(line, line, color=INK, lw=1)
    axes.set(xscale="log", yscale="log", xlim=(low, high), ylim=(low, high))


def _write_powers_plainly(made: Figure) -> None:
    """Log scales whose ticks read 10² without matplotlib's formulas."""
    from matplotlib.ticker import LogFormatterSciNotation

    class Plain(LogFormatterSciNotation):
        def __call__(self, x: float, pos: Any = None) -> str:
            text = re.sub(r"\$|\\mathdefault|\s", "", super().__call__(x, pos))
            text = text.replace(r"\times", "×")
            power = re.sub(r"\^\{(-?\d+)\}", lambda found: found[1].translate(RAISED), text)
            return power.strip("{}")

    for axes in made.axes:
        for axis in (axes.xaxis, axes.yaxis):
            if isinstance(axis.get_major_formatter(), LogFormatterSciNotation):
                axis.set_major_formatter(Plain())
            if isinstance(axis.get_minor_formatter(), LogFormatterSciNotation):
                axis.set_minor_formatter(Plain(labelOnlyBase=False, minor_thresholds=(1, 0.4)))


def save(figure: Figure, path: str | Path, dpi: int = 150) -> None:
    """Writes PNG or SVG by the suffix, without dates, whole or not at all."""
    path = Path(path)
    # matplotlib writes its version into a PNG and the date into an SVG unless told not to.
    metadata: dict[str, Any] = NOTHING if path.suffix == ".svg" else {"Software": None}
    with _drawing(), writing(path) as beside:
        figure.savefig(beside, dpi=dpi, metadata=metadata)


def svg(figure: Figure) -> str:
    """The figure as SVG text, from `<svg` on."""
    out = io.StringIO()
    with _drawing():
        figure.savefig(out, format="svg", metadata=NOTHING)
    text = out.getvalue()
    return text[text.index("<svg") :]


@contextmanager
def _drawing() -> Iterator[None]:
    """The style once more, since some text is made while drawing; a letter that the font lacks is
    drawn as a box and is no news."""
    import matplotlib

    with matplotlib.rc_context(_RC), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield
