"""Bandwidth of a gang of banks by closed form: peak, and what activation and refresh take of it."""

from __future__ import annotations

import msgspec

from ...base import BadInput
from ...hardware.dram import DramConfig
from ...hardware.gang import Gang


class BundleBandwidth(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes/s of one pseudo channel's gangs reading rows end to end, and where the rest goes.

    gain: gang peak / peak of one bank at a time on the host's bus; activation, refresh: shares of
    the peak lost at least, and of what is then left. Conflicts with the host are left out.
    """

    peak_bytes_per_s: float
    gain: float
    activation_loss: float
    refresh_loss: float

    @property
    def share(self) -> float:
        """Of the peak."""
        return (1 - self.activation_loss) * (1 - self.refresh_loss)

    @property
    def bytes_per_s(self) -> float:
        return self.peak_bytes_per_s * self.share


def bundle_bandwidth(config: DramConfig, gang: Gang, spaces: int = 1) -> BundleBandwidth:
    """What a gang gives: a burst of each of its banks every `read_cycles`, against one of the host
    every burst_cycles. spaces: gangs that take turns; 1: each row waits for its own activation.
    """
    _require(config, gang, spaces)
    timing, period = config.timing, row_period(config, gang, spaces)
    host = config.organisation.access_bytes * timing.clock_hz / timing["burst_cycles"]
    peak = gang.peak_bytes_per_s(config) / (config.channels * config.rank_count)
    if peak < host:
        raise BadInput(
            f"of {gang.bank_count} banks is slower than the host with one bank at a time",
            key="gang",
        )
    row = _Row(config, gang)
    reading = row.reading / row.per / period
    return BundleBandwidth(
        peak_bytes_per_s=peak,
        gain=peak / host,
        activation_loss=1 - reading,
        refresh_loss=_lost_to_refresh(row, reading, period) / timing["tREFI"],
    )


def _lost_to_refresh(row: _Row, reading: float, period: float) -> float:
    """Cycles of each tREFI, by what the refresh finds; it closes rows, which are opened again.

    derived: while rows are read it costs tRTP + tRP + tRFC, the opening and tRCD but for the time
    between two reads; while a row is opened alone, half of the opening, tRAS, tRP and tRFC; while
    one is closed, tRFC.
    """
    opening = min(1 - reading, (row.opening + row.open_to_read) / row.per / period)
    closed = row.refresh_to_open
    found_open = row.read_to_close + row.opening + row.open_to_read - row.read
    found_opening = row.opening / 2 + row.open_to_close
    lost = reading * (row.close_to_refresh + closed + found_open)
    lost += opening * (row.close_to_refresh + closed + found_opening)
    lost += (1 - reading - opening) * closed
    return lost / row.per


def row_period(config: DramConfig, gang: Gang, spaces: int = 1) -> float:
    """Cycles from one row to the next, without refresh.

    derived: the busiest of four: the data path; the bank cycle (open all banks, tRCD, reads, tRTP,
    tRP), shared by the gangs that take turns; a row opened while one other is read, not sooner; the
    ACTs that tRRD and tFAW allow.
    """
    _require(config, gang, spaces)
    row, timing = _Row(config, gang), config.timing
    last = row.open_to_read + row.reading - row.read
    closed = max(last + row.read_to_close, row.open_to_close) + row.close_to_open
    cycle = row.opening + max(row.rising(closed), row.bank_cycle)
    acts = 0.0
    if not gang.broadcast:
        acts = gang.bank_count * max(row.act_to_act, timing["tFAW"] / 4) * row.per
    return max(row.reading, cycle / spaces, (row.opening + last) / 2, acts) / row.per


def _require(config: DramConfig, gang: Gang, spaces: int) -> None:
    try:
        most = gang.count_in(config)
    except ValueError as fault:
        raise BadInput(str(fault), key="gang") from None
    if not 1 <= spaces <= most:
        raise BadInput(f"must lie in 1..{most}, the gangs of {config.name}", key="spaces",
                       value=spaces)  # fmt: skip


class _Row:
    """The steps of a gang's row in ticks. A timing counts from the last edge of one command to that
    of the next, so between their starts their lengths come in; reads and ACTs start on rising
    edges."""

    def __init__(self, config: DramConfig, gang: Gang) -> None:
        timing, standard = config.timing, config.timing.standard
        self.per = standard.ticks_per_cycle

        def apart(before: str, after: str, name: str) -> int:
            longer = standard.bus_ticks(before) - standard.bus_ticks(after)
            return timing[name] * self.per + longer

        self.read = gang.read_cycles_of(config) * self.per
        self.reading = config.organisation.columns * self.read
        self.open_to_read = self.rising(apart("ACT", "RD", "tRCDRD"))
        self.read_to_close = apart("RD", "PRE", "tRTP")
        self.open_to_close = apart("ACT", "PRE", "tRAS")
        self.close_to_open = apart("PRE", "ACT", "tRP")
        self.close_to_refresh = apart("PRE", "REF", "tRP")
        self.refresh_to_open = apart("REF", "ACT", "tRFC")
        self.bank_cycle = timing["tRC"] * self.per
        one_group = gang.stack_ids == gang.bank_groups == 1
        self.act_to_act = timing["tRRDL" if one_group else "tRRDS"]  # cycles
        self.opening = 0
        if not gang.broadcast:
            windows, rest = divmod(gang.bank_count - 1, 4)
            alone = (gang.bank_count - 1) * self.act_to_act
            self.opening = max(alone, windows * timing["tFAW"] + rest * self.act_to_act) * self.per

    def rising(self, ticks: int) -> int:
        """The first rising edge from a tick on."""
        return -(-ticks // self.per) * self.per
