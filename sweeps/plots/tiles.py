"""The winner by batch size: a published tile beside the first choices of the ranking."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .style import FAINT, PALETTE, figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ...hardware import AnyDevice
    from ...kernels.winners.ranking import Ranking
    from ...workload import MoEModel

AXES = ("rows", "columns", "depth")
PUBLISHED, FIRST = PALETTE[1], PALETTE[0]
CHOICES = 5
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)


def winner_by_batch(model: MoEModel, gpu: AnyDevice, tp: int) -> Figure:
    """The ranking's choices over batch sizes, and the tuned winners of this GPU where they are
    published; then only the batches that were tuned for. The ranking knows no winner of the GPU's
    class, else it would be shown what it learned."""
    from ...kernels.winners.ranking import class_of, ranked_tiles, tuned_batches

    batches = tuned_batches(model, gpu, tp) or BATCHES
    group = class_of(gpu)
    found = [ranked_tiles(model, gpu, tokens, tp, group) for tokens in batches]
    about = f"{model.name}, experts split over {tp}, on {gpu.name}"
    return tiles_by_batch(found, f"{about}\nranked without any winner of {group or 'this GPU'}")


def tiles_by_batch(found: Sequence[Ranking], title: str) -> Figure:
    """A panel for each of the tile's sizes, over tokens; circles grow with the chance."""
    with figure(7.2, 6.6, nrows=3, sharex=True) as (made, panels):
        for place, (axes, name) in enumerate(zip(panels, AXES, strict=True)):
            _panel(axes, found, place)
            axes.set_ylabel(f"tile {name}")
        panels[-1].set_xlabel("tokens in the layer")
        handles, labels = panels[0].get_legend_handles_labels()
        made.legend(handles, labels, loc="outside lower center", ncols=3)
        made.suptitle(f"Tile of the fused MoE kernel: {title}", x=0.01, ha="left",
                      fontsize=10, fontweight="bold")  # fmt: skip
    return made


def _panel(axes: Axes, found: Sequence[Ranking], place: int) -> None:
    """Chances of the first CHOICES summed by this size; the first choice; the winners."""
    x, y, area = [], [], []
    for one in found:
        sums: dict[int, float] = {}
        for ranked in one.tiles[:CHOICES]:
            sums[ranked.tile[place]] = sums.get(ranked.tile[place], 0.0) + ranked.chance
        x += [one.tokens] * len(sums)
        y += list(sums)
        area += [260 * chance for chance in sums.values()]
    axes.scatter(x, y, s=area, color=FAINT, alpha=0.6, lw=0,
                 label=f"△ chance over the first {CHOICES} choices")  # fmt: skip
    tokens = [one.tokens for one in found]
    first = [one.tiles[0].tile[place] for one in found]
    axes.plot(tokens, first, color=FIRST, lw=1.2, marker="o", ms=3, label="△ first choice")
    won = [(one.tokens, tile[place]) for one in found for tile in _winners(one)]
    if won:
        at, size = zip(*won, strict=True)
        axes.scatter(
            at, size, marker="x", s=44, color=PUBLISHED, lw=1.6, zorder=4,
            label="○ published winner",
        )  # fmt: skip
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=2)
    _plain(axes, sorted({*y, *first, *(tile for _, tile in won)}), tokens)


def _winners(one: Ranking) -> list[tuple[int, int, int]]:
    return [tile for tiles in one.published.values() for tile in tiles]


def _plain(axes: Axes, sizes: Sequence[int], tokens: Sequence[int]) -> None:
    """Ticks that say the numbers themselves."""
    shown = [t for t in tokens if t & (t - 1) == 0]
    axes.set_xticks(shown, [str(t) for t in shown], fontsize=7)
    axes.set_yticks(sizes, [str(size) for size in sizes])
    axes.minorticks_off()
    axes.set_ylim(min(sizes) / 1.5, max(sizes) * 1.5)
