"""A host's stream and a PIM's rows at once: what each keeps of its bandwidth."""

from __future__ import annotations

import msgspec

from ...base import BadInput
from ...hardware.dram import DramConfig
from ...hardware.gang import Gang
from ..memory.controller import Controller
from ..memory.requests import Requests
from ..memory.run import DramRun, simulate
from .gangs import host_stream
from .rates import INTERVALS, RAMP, counted, gang_share, gangs_of, long_program, starts

WHERE = ("other", "same")


class Meeting(msgspec.Struct, frozen=True, kw_only=True):
    """Shares of the peak of the host and of the units, each alone and both at once, of one pseudo
    channel. where: the host reads the banks of 'other' gangs than the units, or of the 'same';
    pseudo_channels: how many of the channel are so busy; run: of both at once."""

    where: str
    own_bus: bool
    pseudo_channels: int
    host_alone: float
    pim_alone: float
    host: float
    pim: float
    run: DramRun


def meet(
    config: DramConfig,
    gang: Gang,
    where: str = "other",
    *,
    pseudo_channels: int | None = None,
    spaces: int = 2,
    controller: Controller | None = None,
    energy_j_per_byte: float | None = None,
) -> Meeting:
    """Both streams on a memory of one channel. The units read `spaces` gangs in turn (fewer, where
    there are not so many), the host whole rows of the next or of the first.

    Raises BadInput where no gang is left for the host.
    """
    if where not in WHERE:
        raise BadInput(f"must be one of {', '.join(WHERE)}", key="where", value=where)
    ranks, count = pseudo_channels or config.rank_count, gangs_of(config, gang)
    if where == "other" and count < 2:
        raise BadInput(
            "has one gang in each pseudo channel; the host finds no other banks", key=config.name
        )
    spaces = min(spaces, count if where == "same" else count - 1)
    program = msgspec.structs.replace(
        long_program(config, gang, spaces, ranks), energy_j_per_byte=energy_j_per_byte
    )
    asked = _stream(config, gang, spaces if where == "other" else 0, ranks)
    control, nothing = controller or Controller(), Requests.of([])
    host_alone = simulate(config, control, asked, record=True)
    pim_alone = simulate(config, control, nothing, program=program, record=True)
    both = simulate(config, control, asked, program=program, record=True)
    return Meeting(
        where=where,
        own_bus=gang.own_bus,
        pseudo_channels=ranks,
        host_alone=_host_share(host_alone),
        pim_alone=gang_share(pim_alone, gang),
        host=_host_share(both),
        pim=gang_share(both, gang),
        run=both,
    )


def _stream(config: DramConfig, gang: Gang, index: int, ranks: int) -> Requests:
    """Long enough for the counted intervals at the peak."""
    cycles = (RAMP + INTERVALS + 1) * config.timing["tREFI"]
    one_pass = gang.bank_count * config.organisation.columns * config.timing["burst_cycles"]
    return host_stream(config, gang, index, -(-cycles // one_pass), ranks=ranks)


def _host_share(run: DramRun) -> float:
    reads = starts(run, ("RD", "RDA"), rank=0)
    return counted(run.config, reads) * run.config.timing["burst_cycles"]
