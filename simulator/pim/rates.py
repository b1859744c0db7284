"""What a PIM gets of its internal bandwidth: a long stream of rows on the memory core."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...base import BadInput
from ...base.spec import Spec
from ...hardware import Pim
from ...hardware.dram import COMMANDS, DramConfig
from ...hardware.gang import Gang
from ...hardware.load import dram_config
from ..memory.controller import Controller
from ..memory.kept import kept
from ..memory.program import Program
from ..memory.requests import Requests
from ..memory.run import Commands, DramRun, simulate
from .bundle import bundle_bandwidth
from .gangs import rows_in_turn

RAMP, INTERVALS = 2, 24
"""Refresh intervals before those that are counted, and the counted ones."""


class PimRate(Spec, frozen=True, kw_only=True):
    """share_of_peak: of the gangs' peak, and so of the internal bandwidth, that a long stream of
    rows gets. activation_loss: lost to opening rows without refresh; refresh_loss: of what is left.
    closed_share: the same share by closed form."""

    share_of_peak: float
    refresh_loss: float
    activation_loss: float
    closed_share: float
    evidence: str = "simulated"


def pim_rate(device: Pim, spaces: int = 2) -> PimRate:
    """The rate of rows that come from `spaces` gangs in turn (all, where there are fewer); of one
    gang each row waits for its own activation.

    Kept in the cache folder under the content of all that it depends on. Raises BadInput for a
    device that names no gang, or whose gang does not fit its memory.
    """
    config, gang = memory_of(device)
    return rate_of(one_channel(config), gang, min(spaces, gangs_of(config, gang)))


def memory_of(device: Pim) -> tuple[DramConfig, Gang]:
    """The memory of a PIM device and its gang; raises BadInput where it names none."""
    if device.gang is None or device.memory.timing is None:
        raise BadInput(
            "names no `gang`, the banks that its units read together; they cannot be simulated",
            key=device.name,
        )
    return dram_config(device.memory.timing), device.gang


def gangs_of(config: DramConfig, gang: Gang) -> int:
    """Gangs of a pseudo channel; raises BadInput where one does not fit."""
    try:
        return gang.count_in(config)
    except ValueError as fault:
        raise BadInput(str(fault), key="gang") from None


def one_channel(config: DramConfig) -> DramConfig:
    """The memory with one of its channels: none knows of the others."""
    words = [word for word in config.address_map.split() if not word.startswith("ch:")]
    return msgspec.structs.replace(config, channels=1, address_map=" ".join(words))


def rate_of(config: DramConfig, gang: Gang, spaces: int) -> PimRate:
    """`pim_rate` of a memory of one channel and a gang."""
    closed = bundle_bandwidth(config, gang, spaces).share
    parts = msgspec.json.encode((config, gang)), f"{spaces} {RAMP} {INTERVALS} {closed}"
    return kept("pim", PimRate, lambda: _simulated(config, gang, spaces, closed), *parts)


def _simulated(config: DramConfig, gang: Gang, spaces: int, closed: float) -> PimRate:
    free = gang_share(run_alone(config, gang, spaces, Controller(refresh="off")), gang)
    share = gang_share(run_alone(config, gang, spaces), gang)
    return PimRate(
        share_of_peak=share,
        refresh_loss=1 - share / free,
        activation_loss=1 - free,
        closed_share=closed,
    )


def run_alone(
    config: DramConfig, gang: Gang, spaces: int, controller: Controller | None = None
) -> DramRun:
    """The units of all pseudo channels at work, the host silent."""
    program = long_program(config, gang, spaces)
    return simulate(
        config, controller or Controller(), Requests.of([]), program=program, record=True
    )


def long_program(config: DramConfig, gang: Gang, spaces: int, ranks: int | None = None) -> Program:
    """Rows for the ramp and the counted intervals, one beyond."""
    cycles = (RAMP + INTERVALS + 1) * config.timing["tREFI"]
    reading = config.organisation.columns * gang.read_cycles_of(config)
    return rows_in_turn(config, gang, -(-cycles // reading), spaces, ranks=ranks)


def gang_share(run: DramRun, gang: Gang) -> float:
    """Of the peak of its gangs that the first pseudo channel got in the counted intervals."""
    reads = starts(run, ("RDG",), rank=0)
    return counted(run.config, reads) * gang.read_cycles_of(run.config)


def starts(run: DramRun, commands: tuple[str, ...], rank: int) -> NDArray[np.float64]:
    """Cycles at which these commands of a pseudo channel of channel 0 started, in order."""
    done = run.commands
    assert isinstance(done, Commands)
    banks = run.config.banks // run.config.rank_count
    wanted = np.isin(done.command, [COMMANDS.index(name) for name in commands])
    wanted &= (done.channel == 0) & (done.bank // banks == rank)
    return np.sort(done.tick[wanted]) / run.config.timing.standard.ticks_per_cycle


def counted(config: DramConfig, cycles: NDArray[np.float64]) -> float:
    """Starts a cycle in the counted refresh intervals; those must lie within the run."""
    interval = config.timing["tREFI"]
    first, last = np.searchsorted(cycles, [RAMP * interval, (RAMP + INTERVALS) * interval])
    if not cycles.size or cycles[-1] < (RAMP + INTERVALS) * interval:
        raise BadInput(f"ends before {RAMP + INTERVALS} refresh intervals", key="run")
    return float(last - first) / (INTERVALS * interval)
