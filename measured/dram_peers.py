"""What two other simulators made of request traces; the traces are text that anyone can run.

Their results are simulated, not measured: README.md beside them tells how they were run.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from ..base import unknown
from .tables import RECORDED

FOLDER = RECORDED / "dram"
RAMULATOR, DRAMSIM3 = "ramulator2.1", "dramsim3"
_NAMES = {
    "peer": "sim",
    "queue": "r2_queue",
    "requests": "n_req",
    "cycles": "last_data_cycle",
    "sent": "col_cmds_issued",
    "read_latency_cycles": "avg_read_latency_from_injection",
}


class PeerRun(msgspec.Struct, frozen=True, kw_only=True, rename=_NAMES):
    """A trace on a memory, by another simulator.

    queue: entries of Ramulator's read and of its write queue; cycles: until the last data; sent:
    column commands, fewer than requests where writes were left; read_latency_cycles: mean since the
    queue took the read, 0 without reads; commands: how many of each, by name.
    """

    peer: str
    trace: str
    config: str
    refresh: str
    queue: int | None
    requests: int
    cycles: float
    sent: int
    read_latency_cycles: float
    commands: dict[str, int]


def peer_runs() -> list[PeerRun]:
    """Every recorded run, in the order of the file; `trace` is a name for `peer_trace`."""
    found = msgspec.json.decode((FOLDER / "results.json").read_bytes(), type=list[PeerRun])
    return [
        msgspec.structs.replace(run, trace=run.trace.removesuffix(".trace.gz")) for run in found
    ]


def peer_trace(name: str) -> Path:
    """The file of a trace, such as 'hbm32B__stream_read'. Raises BadInput for an unknown name."""
    known = {path.name.removesuffix(".trace.gz"): path for path in FOLDER.glob("*.trace.gz")}
    if name not in known:
        raise unknown("trace", name, known)
    return known[name]
