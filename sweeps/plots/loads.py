"""Experts on devices before and after placement."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .style import INK, PALETTE, figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def loads_before_and_after(
    before: NDArray[np.float64], after: NDArray[np.float64], names: tuple[str, str], title: str
) -> Figure:
    """Load of each rank over the mean, layer by layer: two `[layers, ranks]` maps on one colour
    scale, and the busiest rank of each layer beside them."""
    relative = [load / load.mean(axis=1, keepdims=True) for load in (before, after)]
    most = max(float(np.abs(part - 1).max()) for part in relative) or 0.01
    with figure(9.6, 3.6, ncols=3, width_ratios=(1, 1, 1.1)) as (made, (left, middle, right)):
        scale: Any = {"cmap": "PuOr_r", "vmin": 1 - most, "vmax": 1 + most, "aspect": "auto"}
        images = [
            axes.imshow(part, **scale) for axes, part in zip((left, middle), relative, strict=True)
        ]
        for axes, name in zip((left, middle), names, strict=True):
            axes.grid(False)
            axes.set(xlabel="rank", ylabel="MoE layer", title=name)
        made.colorbar(images[0], ax=[left, middle], label="load / mean", shrink=0.9)
        for i, (part, name) in enumerate(zip(relative, names, strict=True)):
            busiest = part.max(axis=1)
            label = f"{name}: {busiest.mean():.3f} on average"
            layers = np.arange(busiest.size)
            right.plot(busiest, layers, marker="o", ms=4, color=PALETTE[i], label=label)
        right.axvline(1, color=INK, lw=1)
        right.invert_yaxis()
        right.set(xlabel="busiest rank / mean", ylabel="MoE layer")
        right.legend(loc="lower left", bbox_to_anchor=(0, 1), title=title, alignment="left")
    return made
