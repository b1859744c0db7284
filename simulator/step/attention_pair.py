"""Attention on a pair of units: prompts on the xPU, decoding requests where they end sooner."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...roofline import OperatorTable
from ...roofline.attention import gqa_core, mla_core
from ...roofline.prices import Unit
from ...roofline.shapes import Core
from .pair import PIM_BYTES, PIM_FLOPS, SLOWED, XPU_BYTES, XPU_FLOPS, Pair, slowed

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


class Busy(msgspec.Struct, frozen=True):
    """What one unit needs for moving bytes and for arithmetic; the longer one takes it."""

    bytes_s: Floats
    flops_s: Floats

    @property
    def seconds(self) -> Floats:
        return np.maximum(self.bytes_s, self.flops_s)

    def by(self, counted: Bools | np.bool_, moving: str, computing: str) -> dict[str, Floats]:
        """The seconds where they count, by reason."""
        arithmetic = self.flops_s >= self.bytes_s
        seconds = np.where(counted, self.seconds, 0.0)
        return {
            moving: np.where(arithmetic, 0.0, seconds),
            computing: np.where(arithmetic, seconds, 0.0),
        }


class CoreTimes(msgspec.Struct, frozen=True, kw_only=True):
    """One layer's attention on some devices, `[devices]` each.

    rest: what the xPU does in any case, prompts above all. decode_xpu, decode_pim: the decoding
    requests on either unit; decode_flops, decode_bytes: their work. prompts: whether the step
    computes any; beside: as of the pair.
    """

    rest: Busy
    decode_xpu: Busy
    decode_pim: Busy
    decode_flops: Floats
    decode_bytes: Floats
    prompts: bool
    beside: float

    def alone(self) -> dict[str, Floats]:
        """Seconds by reason of the xPU that does both, one after the other."""
        parts = [
            busy.by(np.bool_(True), XPU_BYTES, XPU_FLOPS) for busy in (self.rest, self.decode_xpu)
        ]
        return {reason: parts[0][reason] + parts[1][reason] for reason in parts[0]}

    def shared(self, together: bool) -> dict[str, Floats]:
        """Seconds by reason with the decoding requests on the PIM: beside the prompts where both
        units may work `together` (Duplex, arXiv 2409.01141, attention co-processing), else after
        them."""
        beside = together and self.prompts
        rest, pim_s = self.rest, self.decode_pim.seconds
        late = slowed(np.where(rest.bytes_s > rest.flops_s, rest.bytes_s, 0.0), pim_s, self.beside)
        longer = rest.seconds + late >= pim_s
        return {
            **rest.by(longer | (not beside), XPU_BYTES, XPU_FLOPS),
            **self.decode_pim.by(~longer | (not beside), PIM_BYTES, PIM_FLOPS),
            SLOWED: np.where(longer & beside, late, 0.0),
        }

    def on_pim(self, together: bool) -> Bools:
        """Whether decoding requests are sooner done on the PIM."""
        with_pim = sum(self.shared(together).values())
        return np.asarray(with_pim < self.rest.seconds + self.decode_xpu.seconds)


def decoding(core: Core) -> tuple[Floats, Floats]:
    """Flops and cache bytes of the decoding requests: `[devices]` each, by `roofline.mixers`."""
    flops, kv = np.zeros(core.requests.shape[1]), np.zeros(core.requests.shape[1])
    width = core.latent + core.rope_dim if core.latent else 2 * core.kv_heads * core.head_dim
    for new, cached, requests in zip(core.new, core.cached, core.requests, strict=True):
        if new != 1:
            continue
        if core.latent:
            nope = core.head_dim - core.rope_dim
            of_one = mla_core(
                1, cached, cached + 1, core.heads, core.latent, nope, core.rope_dim, core.value_dim
            )
        else:
            of_one = gqa_core(cached + 1, core.heads, core.head_dim)
        flops += requests * of_one
        kv += requests * (cached + 1) * width * core.kv_size
    return flops, kv


def core_times(
    core: Core, table: OperatorTable, i: int, ranks: NDArray[np.int64], pair: Pair
) -> CoreTimes:
    """Operator i of a table, on devices that are all such a pair. Queries and results stay on the
    die."""
    local, dtype = ranks % table.stage_devices, table.operators[i].dtype
    flops, kv = (column[local] for column in decoding(core))
    xpu, pim = pair.kv()
    never = np.full(ranks.size, np.inf)
    kept = table.weight_bytes[i, ranks] / pair.weights()[0].bandwidth_bytes_per_s
    return CoreTimes(
        rest=Busy(
            kept + (table.kv_bytes[i, ranks] - kv) / xpu.bandwidth_bytes_per_s,
            (table.flops[i, ranks] - flops) / xpu.device.peak(dtype),
        ),
        decode_xpu=busy(xpu, dtype, flops, kv),
        decode_pim=Busy(never, never) if pim is None else busy(pim, dtype, flops, kv),
        decode_flops=flops,
        decode_bytes=kv,
        prompts=bool(core.requests[core.new > 1].any()),
        beside=pair.rates.beside,
    )


def busy(unit: Unit, dtype: str, flops: Floats, moved: Floats) -> Busy:
    """A unit that does so many flops on so many bytes."""
    return Busy(moved / unit.bandwidth_bytes_per_s, flops / unit.device.peak(dtype))
