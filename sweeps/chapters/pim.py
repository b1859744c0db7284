"""A chapter that shares the experts of a recorded layer between an xPU and its PIM."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...base import BadInput, Count
from ...base.units import show
from ...hardware import Gang, Pim
from ...hardware.load import device as load_device
from ...hardware.load import dram_config
from ...roofline.bound import units
from ...simulator.pim import bundle_bandwidth
from ...simulator.step.coprocess import Shares, by_rule
from ...simulator.step.expert_time import TimeCurve, crossover
from ...workload import MoEModel, RoutingTrace
from ...workload.load import model as load_model
from ...workload.readers.detect import load as load_routing
from ...workload.synthetic import plackett_luce
from ..report.section import Section, Table
from .question import Chapter


class Shared(Chapter, frozen=True, kw_only=True, tag_field="kind", tag="pim-split"):
    """One layer's experts on a device with PIM. counts: a file of routing (of `part` where it holds
    several); layer: the ordinal of the recorded layer; batches: tokens that are drawn from it."""

    model: str
    on: str = "duplex"
    counts: str
    part: str | None = None
    layer: int = 0
    batches: tuple[Count, ...] = (16, 64, 256, 1024)


HBM3 = ("hbm3_6400_16Gb_16ch2pc_2sid", "hbm3_5200_duplex_16ch2pc")
"""The two published timing sets. They disagree on activation: name the one a figure used."""

NOTE = (
    "Alone: a bound. Both: simulated, by Duplex's rule (arXiv 2409.01141), as if the units did not "
    "disturb each other."
)


def shared(chapter: Shared, seed: int, here: Path) -> Section:
    """An expert's time on both units with the crossover, and a layer on one, the other, or both."""
    from ..plots.curves import expert_curves_and_splits

    model, xpu, pim = _units(chapter)
    names = (f"xPU ({xpu.unit.device.name})", f"PIM ({pim.unit.device.name})")
    splits: dict[str, list[float]] = {name: [] for name in (*map("{} alone".format, names), "both")}
    rows, data = [], []
    for batch in chapter.batches:
        loads = _drawn(chapter, model, batch, seed, here)
        alone = [float(curve(loads).sum()) for curve in (xpu, pim)]
        split = by_rule(xpu(loads)[None], pim(loads)[None], loads[None])
        both_s = float(split.makespan_s[0])
        for made, seconds in zip(splits.values(), (*alone, both_s), strict=True):
            made.append(seconds)
        rows.append(_row(batch, loads, alone, split))
        data.append({"batch": batch, "xpu_s": alone[0], "pim_s": alone[1], "both_s": both_s})
    meet = crossover(pim, xpu)
    tokens = np.unique(np.geomspace(1, 2048, 200).astype(np.int64))
    return Section(
        name=chapter.name,
        title=chapter.title,
        words=tuple(filter(None, (chapter.words, _words(chapter, meet)))),
        evidence=("bound", "simulated"),
        tables=(
            Table(
                columns=(
                    "tokens", "busiest / mean", *splits, "faster than the better one alone",
                    "experts on the PIM",
                ),
                rows=tuple(rows),
                note=NOTE,
            ),
            _bundles(),
        ),
        figure=expert_curves_and_splits(
            tokens,
            {name: curve(tokens) for name, curve in zip(names, (xpu, pim), strict=True)},
            meet,
            {name: tuple(made) for name, made in splits.items()},
            chapter.batches,
            (f"One expert of {chapter.model}", f"A layer of {model.experts.count} experts"),
        ),
        data={"crossover_tokens": meet, "batches": data},
    )  # fmt: skip


def _units(chapter: Shared) -> tuple[MoEModel, TimeCurve, TimeCurve]:
    device = load_device(Path(chapter.on) if chapter.on.endswith(".toml") else chapter.on)
    if not isinstance(device, Pim) or device.host is None:
        raise BadInput("is no PIM with a host to share with", key=chapter.on)
    model = load_model(chapter.model)
    xpu, pim = (TimeCurve.of(model, unit) for unit in units(device))
    return model, xpu, pim


def _drawn(
    chapter: Shared, model: MoEModel, batch: int, seed: int, here: Path
) -> NDArray[np.float64]:
    """Tokens `[experts]` of a batch whose tokens choose by the recorded layer's popularity."""
    routing = load_routing(here / chapter.counts, part=chapter.part)
    counts = routing.counts() if isinstance(routing, RoutingTrace) else routing
    loads = counts.total()
    if not 0 <= chapter.layer < len(loads):
        raise BadInput(f"must lie below the {len(loads)} recorded layers", key="layer")
    if loads.shape[1] != model.experts.count:
        raise BadInput(
            f"holds {loads.shape[1]} experts; {model.name} has {model.experts.count}",
            file=chapter.counts,
        )
    drawn = plackett_luce(loads[chapter.layer], model.experts.top_k, batch, seed)
    return np.asarray(drawn.counts().total()[0])


def _row(
    batch: int, loads: NDArray[np.float64], alone: list[float], split: Shares
) -> tuple[str, ...]:
    both_s = float(split.makespan_s[0])
    return (
        str(batch),
        f"{loads.max() / loads.mean():.2f}",
        *(show(seconds, "s") for seconds in (*alone, both_s)),
        f"{min(alone) / both_s:.2f}x",
        f"{int(split.on_pim[0, loads > 0].sum())} of {int((loads > 0).sum())} touched",
    )


def _words(chapter: Shared, meet: int | None) -> str:
    where = f"layer {chapter.layer} of {chapter.counts.rpartition('/')[2]}"
    turn = (
        f"From {meet} tokens on, an expert is faster on the xPU than on the PIM."
        if meet is not None
        else "The PIM is the faster unit for any number of tokens."
    )
    return (
        f"{turn} Batches are drawn token by token, without replacement, in proportion to the "
        f"recorded loads of {where}; popular experts come out a little less often than recorded. "
        "Each product takes the larger of flops / peak and bytes / bandwidth, at the peak "
        "bandwidth of each unit: the second table says what refresh and activation leave of it."
    )


def _bundles() -> Table:
    """What eight banks read together give, by timing set and by how rows are opened."""
    one = Gang(bank_groups=4, banks=2)
    alone = msgspec.structs.replace(one, broadcast=False)
    ways = {
        "two bundles take turns": (one, 2),
        "one bundle, one ACT for all banks": (one, 1),
        "one bundle, bank by bank": (alone, 1),
    }
    rows = []
    for name in HBM3:
        config = dram_config(name)
        for way, (gang, spaces) in ways.items():
            b = bundle_bandwidth(config, gang, spaces)
            rows.append(
                (config.timing.name, way, f"{b.gain:g}x", f"{b.activation_loss:.1%}",
                 f"{b.refresh_loss:.1%}", f"{b.gain * b.share:.2f}x")
            )  # fmt: skip
    return Table(
        columns=("timing set", "rows opened", "peak", "lost to activation", "to refresh", "left"),
        rows=tuple(rows),
        note="Over the host's peak on the same pins. The host loses the same share to refresh.",
    )
