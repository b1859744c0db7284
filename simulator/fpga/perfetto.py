"""The spans of a run as a timeline in seconds, for ui.perfetto.dev."""

from __future__ import annotations

import numpy as np

from ..timeline import Timeline
from .result import Run


def timeline(run: Run, clock_hz: float, tokens: int = 0) -> Timeline:
    """Each process is a device with one lane. Nothing, where the run was not asked for spans."""
    processes = {name: i for i, name in enumerate(dict.fromkeys(s.process for s in run.spans))}
    labels = {name: i for i, name in enumerate(dict.fromkeys(s.label for s in run.spans))}
    zeros = np.zeros(len(run.spans), dtype=np.int64)
    return Timeline(
        names=tuple(labels),
        name=np.array([labels[span.label] for span in run.spans], dtype=np.int64),
        layer=zeros,
        device=np.array([processes[span.process] for span in run.spans], dtype=np.int64),
        lane=zeros,
        start_s=np.array([span.start for span in run.spans]) / clock_hz,
        end_s=np.array([span.end for span in run.spans]) / clock_hz,
        devices=len(processes),
        tokens=tokens,
        evidence="simulated",
        device_names=tuple(processes),
    )


def perfetto(run: Run, clock_hz: float) -> str:
    """Trace Event JSON, which ui.perfetto.dev and chrome://tracing open."""
    return timeline(run, clock_hz).perfetto()
