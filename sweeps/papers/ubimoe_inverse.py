"""UbiMoE (arXiv 2502.05602): its parameters are not published, so every design with its DSP."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..fpga.inverse import Inverse, inverse
from ..fpga.space import Space
from ..report.section import Section, Table

SHOWN = {
    "port_bits": "port bits",
    "queries": "Na",
    "copies": "num",
    "tin": "Tin",
    "tout": "Tout",
    "units": "NL",
}
MOST = 10


def inverse_section(spaces: Sequence[Space], dsp: float, latency_s: float) -> Section:
    """The designs of each space (one a token count) that come near the printed DSP."""
    from ..plots.fronts import latencies_near

    found = [inverse(space, dsp, latency_s) for space in spaces]
    space = spaces[0]
    grid = f"{space.axes.size:,} ({space.precision.name}, {space.axes.clock_hz[0] / 1e6:g} MHz)"
    words = (
        f"Every design of a grid of {grid} inside the budgets of {space.board.name} with "
        f"{dsp:,.0f} DSP to {found[0].near:.0%}. So many designs have these DSP, and so wide is "
        "the range of their latencies, that the published pair tells neither the parameters nor "
        "the token count."
    )
    return Section(
        name="ubimoe-inverse",
        title="Which designs have the published DSP, and what would they take?",
        words=(words,),
        evidence=("simulated", "measured-published"),
        tables=(_ranges(found, latency_s), *(_matches(each) for each in found)),
        figure=latencies_near(
            {each.tokens: each.latency_s for each in found}, latency_s, f"Designs of {dsp:,.0f} DSP"
        ),
        data=[_plain(each) for each in found],
    )


def _ranges(found: list[Inverse], printed_s: float) -> Table:
    rows = tuple(
        (
            f"{each.tokens}",
            f"{each.latency_s.size}",
            f"{each.latency_s.min() * 1e3:.2f} to {each.latency_s.max() * 1e3:.2f}",
            f"{np.median(each.latency_s) * 1e3:.2f}",
            f"{each.matches}",
            f"{each.bracketing}",
        )
        for each in found
    )
    return Table(
        columns=("tokens", "designs", "ms", "median ms", "within 5% of the board", "bracket it"),
        rows=rows,
        note=f"The board: {printed_s * 1e3:.2f} ms. bracket it: the board lies between all overlap "
        "and none.",
    )


def _matches(found: Inverse) -> Table:
    rows = tuple(
        (
            *(f"{row[name]:g}" for name in SHOWN),
            f"{row['dsp']:.0f}",
            f"{row['latency_s'] * 1e3:.3f}",
        )
        for row in found.designs[: min(MOST, found.matches)]
    )
    return Table(
        columns=(*SHOWN.values(), "DSP", "ms"),
        rows=rows,
        note=f"{found.tokens} tokens: the nearest {len(rows)} of {found.matches} designs "
        "within 5% of the board's latency; the JSON beside the page lists all with these DSP.",
    )


def _plain(found: Inverse) -> dict[str, object]:
    """All designs by name, the nearest to the board's latency first, and what they span."""
    return {
        "tokens": found.tokens,
        "count": found.latency_s.size,
        "least_s": float(found.latency_s.min()),
        "most_s": float(found.latency_s.max()),
        "bracketing": found.bracketing,
        "within_5_percent": found.matches,
        "designs": found.designs,
    }
