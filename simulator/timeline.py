"""Timeline: who did what when, on which resource of which device."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from ..base import Evidence
from ..base.files import write_text

LANES = ("compute", "link")
"""The resources of a device: its processor with its memory, and its links."""


class Timeline(msgspec.Struct, frozen=True, kw_only=True):
    """Intervals of work, `[intervals]` each: index into `names`, layer, device, lane, start, end.

    Intervals of one lane of one device never overlap. tokens: of the step; evidence as usual.
    device_names: what to call the devices, if not by number.
    """

    names: tuple[str, ...]
    name: NDArray[np.int64]
    layer: NDArray[np.int64]
    device: NDArray[np.int64]
    lane: NDArray[np.int64]
    start_s: NDArray[np.float64]
    end_s: NDArray[np.float64]
    devices: int
    tokens: int
    evidence: Evidence
    device_names: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        """When the last interval ends."""
        return float(self.end_s.max(initial=0.0))

    @property
    def tokens_per_s(self) -> float:
        return self.tokens / self.seconds

    def busy(self) -> NDArray[np.float64]:
        """The share of the time that each lane of each device works: `[devices, lanes]`."""
        out = np.zeros((self.devices, len(LANES)))
        np.add.at(out, (self.device, self.lane), self.end_s - self.start_s)
        return out / max(self.seconds, 1e-300)

    def perfetto(self) -> str:
        """The timeline as Trace Event JSON, which ui.perfetto.dev and chrome://tracing open.

        Times are microseconds; a process is a device, a thread one of its lanes.
        """
        events: list[dict[str, object]] = []
        for device in range(self.devices):
            name = self.device_names[device] if self.device_names else f"device {device}"
            events.append(_label("process_name", device, 0, name))
            events += [_label("thread_name", device, i, lane) for i, lane in enumerate(LANES)]
        for i in range(self.name.size):
            events.append(
                {
                    "name": self.names[self.name[i]],
                    "ph": "X",
                    "pid": int(self.device[i]),
                    "tid": int(self.lane[i]),
                    "ts": round(float(self.start_s[i]) * 1e6, 6),
                    "dur": round(float(self.end_s[i] - self.start_s[i]) * 1e6, 6),
                    "args": {"layer": int(self.layer[i])},
                }
            )
        data = {"traceEvents": events, "displayTimeUnit": "ns", "evidence": self.evidence}
        return json.dumps(data, separators=(",", ":"))

    def save(self, path: str | Path) -> None:
        """Writes the Trace Event JSON."""
        write_text(path, self.perfetto())


def _label(kind: str, device: int, lane: int, name: str) -> dict[str, object]:
    return {"name": kind, "ph": "M", "pid": device, "tid": lane, "args": {"name": name}}
