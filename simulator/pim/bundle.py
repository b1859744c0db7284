"""Bandwidth of a bank bundle by closed form: peak, and what activation and refresh take of it."""

from __future__ import annotations

import msgspec

from ...base import BadInput, Count, Positive, Spec


class Timing(Spec, frozen=True, kw_only=True):
    """A DRAM timing set, in clock cycles of `tck_s` seconds.

    ccd_s, ccd_l: read to read in different / the same bank group; rrd_s: ACT to ACT in different
    groups; faw: window of four ACT; rcd: ACT to read; rtp: read to PRE; rp: PRE to ACT; ras: ACT
    to PRE; rc: ACT to ACT of a bank; refi, rfc: interval and length of an all-bank refresh.
    burst_bytes: of one read of one bank; row_bytes: of one bank's open row.
    """

    tck_s: Positive
    ccd_s: Count
    ccd_l: Count
    rrd_s: Count
    faw: Count
    rcd: Count
    rtp: Count
    rp: Count
    ras: Count
    rc: Count
    refi: Count
    rfc: Count
    burst_bytes: Count = 32
    row_bytes: Count = 1024
    source: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.row_bytes % self.burst_bytes:
            raise ValueError(f"`row_bytes` {self.row_bytes} is not whole bursts")
        if self.rfc >= self.refi:
            raise ValueError(f"`rfc` {self.rfc} leaves no time in `refi` {self.refi}")


TIMINGS = {
    "hbm3-6.4": Timing(
        tck_s=0.625e-9, ccd_s=2, ccd_l=4, rrd_s=4, faw=24, rcd=31, rtp=9, rp=26, ras=45, rc=72,
        refi=6240, rfc=720,
        source="Ramulator 2.1 HBM3 6.4 Gb/s, 16 Gb dies (CMU-SAFARI/ramulator2 c5b1c3a)",
    ),
    "hbm3-5.2": Timing(
        tck_s=0.769e-9, ccd_s=2, ccd_l=4, rrd_s=2, faw=39, rcd=19, rtp=8, rp=19, ras=45, rc=63,
        refi=5070, rfc=338,
        source="AttAcc and released Duplex code, HBM3 5.2 Gb/s (scale-snu/attacc_simulator); "
        "rfc derived: 260 ns",
    ),
}  # fmt: skip
"""The two published HBM3 sets. They disagree on activation: name the one a figure used."""


class Bundle(Spec, frozen=True, kw_only=True):
    """Banks of one rank and pseudo channel that are read together (Duplex, arXiv 2409.01141).

    rotating: bundles that take turns, so that one opens rows while another is read; 1: each row
    waits for its own activation. broadcast: one ACT opens all banks, exempt from tRRD and tFAW;
    else they are opened one by one under both.
    """

    banks: Count = 8
    rotating: Count = 1
    broadcast: bool = True


class BundleBandwidth(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes/s of one pseudo channel's bundle reading rows end to end, and where the rest goes.

    gain: bundle peak / peak of one bank at a time on the shared bus; activation, refresh: shares of
    the peak lost at least. Command-bus slots and conflicts with the host are left out.
    """

    peak_bytes_per_s: float
    gain: float
    activation_loss: float
    refresh_loss: float

    @property
    def bytes_per_s(self) -> float:
        return self.peak_bytes_per_s * (1 - self.activation_loss) * (1 - self.refresh_loss)


def bundle_bandwidth(timing: Timing, bundle: Bundle | None = None) -> BundleBandwidth:
    """What a bundle gives: `banks` bursts every tCCD_L against one every tCCD_S of the host."""
    bundle = bundle or Bundle()
    if bundle.banks * timing.ccd_s < timing.ccd_l:
        raise BadInput(
            f"of {bundle.banks} is slower than one bank at a time", key="banks", value=bundle.banks
        )
    return BundleBandwidth(
        peak_bytes_per_s=bundle.banks * timing.burst_bytes / (timing.ccd_l * timing.tck_s),
        gain=bundle.banks * timing.ccd_s / timing.ccd_l,
        activation_loss=1 - _reading(timing) / row_period(timing, bundle),
        refresh_loss=timing.rfc / timing.refi,
    )


def _reading(timing: Timing) -> int:
    """Cycles in which a row of every bank streams out."""
    return timing.row_bytes // timing.burst_bytes * timing.ccd_l


def row_period(timing: Timing, bundle: Bundle) -> float:
    """Cycles from one open row to the next, without refresh.

    derived: the busiest of three: the data path; the bank cycle (open all banks, tRCD, reads, tRTP,
    tRP), shared by the bundles that rotate; the ACTs that tRRD and tFAW allow.
    """
    reads = _reading(timing) - timing.ccd_l
    opening = 0 if bundle.broadcast else _last_act(timing, bundle.banks)
    closed = opening + max(timing.rcd + reads + timing.rtp, timing.ras) + timing.rp
    cycle = max(closed, timing.rc)
    acts = 0.0 if bundle.broadcast else bundle.banks * max(timing.rrd_s, timing.faw / 4)
    return max(_reading(timing), cycle / bundle.rotating, acts)


def _last_act(timing: Timing, banks: int) -> int:
    """Cycles from the first ACT to that of the last of `banks` banks in alternating groups."""
    windows, rest = divmod(banks - 1, 4)
    return max((banks - 1) * timing.rrd_s, windows * timing.faw + rest * timing.rrd_s)
