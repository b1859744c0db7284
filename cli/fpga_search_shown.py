"""How a search of FPGA designs is printed: fronts, heuristics, lanes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import show

if TYPE_CHECKING:
    from ..sweeps.fpga.compare import Score
    from ..sweeps.fpga.lanes import Choice
    from ..sweeps.fpga.search import Front


def print_fronts(
    title: str,
    fronts: tuple[Front, ...],
    scores: dict[str, tuple[Score, ...]],
    choices: dict[str, Choice],
) -> None:
    """The fastest design of each board and precision; then the heuristics, then the lanes."""
    from ..sweeps.fpga.search import best
    from ..sweeps.fpga.space import NAMES

    rows: list[list[str]] = []
    for front in fronts:
        row = [front.name, f"{front.inside:,}", f"{len(front.place):,}"]
        if len(front.place):
            fast = best(front)
            latency, dsp, bram, bandwidth, energy = front.found.objectives[fast].tolist()
            chosen = front.parameters(fast)
            row += [f"{latency * 1e3:.2f}", f"{front.least_interval_s * 1e3:.2f}", f"{dsp:.0f}"]
            row += [f"{bram:g}", f"{bandwidth / 1e9:.1f}", f"{energy * 1e3:.1f}"]
            row.append(" ".join(f"{chosen[name]:g}" for name in NAMES[1:]))
            row.append(f"{chosen['clock_hz'] / 1e6:g}")
        rows.append(row + ["-"] * (11 - len(row)))
    show.table(
        f"{title}: {sum(front.points for front in fronts):,} designs, all evaluated",
        ["on", "inside", "front", "least ms", "interval", "DSP", "BRAM36", "GB/s", "mJ",
         " ".join(NAMES[1:]), "MHz"],
        rows,
        note="simulated: UbiMoE's schedule, one image. interval: least ms from image to image that "
        "any design allows. Designs of the least ms. Energy and most of BRAM, LUT, FF rest on "
        "assumed constants.",
    )  # fmt: skip
    if any(scores.values()):
        _print_scores(scores)
    for name, choice in choices.items():
        _print_lanes(name, choice)


def _print_scores(scores: dict[str, tuple[Score, ...]]) -> None:
    rows = []
    for on, found in scores.items():
        for score in found:
            shares = (score.hypervolume, score.latency, score.interval)
            rows.append([on, score.name, f"{score.evaluations}", *(f"{x:.4f}" for x in shares)])
    show.table(
        "heuristics against the exact front",
        ["on", "search", "evaluations", "hypervolume", "latency", "interval"],
        rows,
        note="hypervolume: share of the exact front's in all five objectives. latency, interval: "
        "the exact best over the best found.",
    )


def _print_lanes(name: str, choice: Choice) -> None:
    rows = [
        [each.units, f"{each.padding:.1%}", f"{each.hiding:.1%}", f"{each.latency_s * 1e3:.3f}",
         f"{each.even_s * 1e3:.3f}", "chosen" if each is choice.chosen else ""]
        for each in choice.lanes
    ]  # fmt: skip
    show.table(
        f"{name}: lanes (NL) under the recorded load",
        ["NL", "padding", "loads hidden", "ms", "ms, even queues", ""],
        rows,
        note=f"The best design of each NL. Even queues would choose NL {choice.fixed.units}, "
        f"{choice.fixed.latency_s * 1e3:.3f} ms under this load: choosing by it saves "
        f"{choice.gain:.1%}.",
    )
