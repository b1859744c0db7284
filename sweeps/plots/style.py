"""One style for every plot: colours that the colour-blind can tell, marks of evidence, and files
that are the same bytes whenever they are made from the same results."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...base.files import writing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#4D4D4D")
"""Okabe and Ito's colours, the yellow late because it is faint on white."""
INK, FAINT = "#222222", "#9a9a9a"

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


def save(figure: Figure, path: str | Path, dpi: int = 150) -> None:
    """Writes PNG or SVG by the suffix, without dates, whole or not at all."""
    import matplotlib

    path = Path(path)
    # matplotlib writes its version into a PNG and the date into an SVG unless told not to.
    metadata: dict[str, Any] = {".svg": {"Date": None, "Creator": None}}.get(
        path.suffix, {"Software": None}
    )
    with matplotlib.rc_context(_RC), writing(path) as beside:
        figure.savefig(beside, dpi=dpi, metadata=metadata)


def svg(figure: Figure) -> str:
    """The figure as SVG text, from `<svg` on."""
    import io

    import matplotlib

    out = io.StringIO()
    with matplotlib.rc_context(_RC):
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    text = out.getvalue()
    return text[text.index("<svg") :]
