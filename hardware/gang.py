"""Gang: the banks of one pseudo channel that one command opens, reads or closes together."""

from __future__ import annotations

from ..base import BadInput, Count, Spec
from .dram import DramConfig
from .dram_terms import terms, value

MOST_READ_CYCLES = 4096
"""From one gang read to the next; far beyond any in use."""


class Gang(Spec, frozen=True, kw_only=True):
    """How many stack ids, bank groups of each and banks of each group form a gang.

    read_cycles: from one gang read to the next in a pseudo channel, timing names and whole numbers
    joined by + and -. broadcast: one ACTG opens all banks, exempt from tRRD and tFAW; else ACT by
    ACT under both. own_bus: gang commands have paths of their own; else they share the row and the
    column bus of the channel. shares_group: a gang's reads take the data path of their bank groups:
    the host's reads and writes there keep tCCDL from them and wait for the end of a row.
    """

    stack_ids: Count = 1
    bank_groups: Count
    banks: Count
    read_cycles: str = "tCCDL"
    broadcast: bool = True
    own_bus: bool = True
    shares_group: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("stack_ids", "bank_groups", "banks"):
            if (size := getattr(self, name)).bit_count() != 1:
                raise ValueError(f"`{name}` must be a power of two, got {size}")
        try:
            terms(self.read_cycles)
        except ValueError:
            raise ValueError(
                "`read_cycles` must be timing names and numbers joined by + and -, "
                f"got {self.read_cycles[:80]!r}"
            ) from None

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Stack ids, bank groups of each, banks of each group."""
        return self.stack_ids, self.bank_groups, self.banks

    @property
    def bank_count(self) -> int:
        return self.stack_ids * self.bank_groups * self.banks

    def read_cycles_of(self, config: DramConfig) -> int:
        """Clock cycles from one gang read to the next, 1..4096; raises BadInput for others, and for
        a timing that the memory does not have."""
        timing = config.timing
        try:
            cycles = value(self.read_cycles, timing.cycles, timing.standard.defaults)
        except ValueError:
            what = f"names a timing that {timing.name} does not have"
        else:
            if 1 <= cycles <= MOST_READ_CYCLES:
                return cycles
            what = f"must give 1..{MOST_READ_CYCLES} cycles, gives {cycles} on {timing.name}"
        raise BadInput(what, key="gang.read_cycles", value=self.read_cycles)

    def count_in(self, config: DramConfig) -> int:
        """Gangs of a pseudo channel; raises ValueError where a gang is larger than it."""
        part = config.organisation
        whole = (part.stack_ids, part.bank_groups, part.banks)
        if any(own > all_ for own, all_ in zip(self.sizes, whole, strict=True)):
            raise ValueError(
                f"a gang of {self.sizes} stack ids, bank groups and banks does not fit "
                f"{config.name}, which has {whole}"
            )
        return part.stack_ids * part.bank_groups * part.banks // self.bank_count

    def peak_bytes_per_s(self, config: DramConfig) -> float:
        """Every pseudo channel of one memory reading a gang: an access of each bank a read."""
        rate_hz = config.timing.clock_hz / self.read_cycles_of(config)
        gangs = config.channels * config.rank_count
        return gangs * self.bank_count * config.organisation.access_bytes * rate_hz
