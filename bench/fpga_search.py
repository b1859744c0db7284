"""Design points per second of the FPGA search against one estimate after another and a plain front.

Run: python bench/fpga_search.py
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from typing import Any

import numpy as np

TARGET_POINTS, TARGET_S, TARGET_BYTES = 10_000_000, 20.0, 2e9
PLAIN_POINTS, PLAIN_FRONT = 200, 20_000


def _plain_front(points: Any) -> int:
    """A numpy loop: each point against all others that are left."""
    left = points
    kept = 0
    while len(left):
        first, left = left[0], left[1:]
        if not ((left <= first).all(axis=1) & (left < first).any(axis=1)).any():
            kept += 1
        # Whoever the first dominates is on no front and dominates nobody that it does not.
        left = left[~((first <= left).all(axis=1) & (first < left).any(axis=1))]
    return kept


def measure() -> dict[str, float]:
    """Seconds of the first search, of a second one, of plain points and fronts; peak memory."""
    from moesaic.hardware import Fpga
    from moesaic.hardware.load import device, names
    from moesaic.simulator.fpga import estimate
    from moesaic.simulator.fpga.points import design_of
    from moesaic.sweeps.design.pareto import front
    from moesaic.sweeps.fpga.search import search
    from moesaic.workload.load import model

    devices, shape = map(device, names("fpga")), model("m3vit-tiny")
    boards = [each for each in devices if isinstance(each, Fpga)]
    start = time.perf_counter()
    search(boards, shape, 197)
    first = time.perf_counter() - start
    start = time.perf_counter()
    found = search(boards, shape, 197)
    spent = time.perf_counter() - start
    peak = 1024.0 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    space = next(f.space for f in found if f.name == "v80 w16a32")
    places = np.stack(np.unravel_index(np.arange(space.axes.size), space.axes.shape), axis=1)
    # One attention kernel and DSP in plenty: what the plain estimate takes.
    places[:, 3] = 0
    asked = places[np.random.default_rng(0).integers(0, len(places), PLAIN_POINTS)]
    start = time.perf_counter()
    done = 0
    for place in asked:
        design = design_of(space.points(tuple(place)))
        if design.dsp <= space.board.dsp:
            estimate(design, shape, 197, space.board, 300e6)
            done += 1
    plain = (time.perf_counter() - start) / max(done, 1)
    objectives = space.grid().objectives[:: space.axes.size // PLAIN_FRONT]
    start = time.perf_counter()
    kept = _plain_front(objectives)
    slow = time.perf_counter() - start
    start = time.perf_counter()
    same = len(front(objectives)) == kept
    fast = time.perf_counter() - start
    return {
        "first_s": first, "search_s": spent, "points": float(sum(f.points for f in found)),
        "peak_bytes": peak, "plain_point_s": plain, "plain_front_s": slow, "front_s": fast,
        "same": float(same),
    }  # fmt: skip


def main() -> list[dict[str, Any]]:
    """Rows of name, value, unit, peer, peer_value, ratio (above 1: better than the peer)."""
    run = subprocess.run(
        [sys.executable, __file__, "--measure"], check=True, capture_output=True, text=True
    )
    got: dict[str, float] = json.loads(run.stdout)
    assert got["same"]
    rate, wanted = got["points"] / got["search_s"], TARGET_POINTS / TARGET_S
    many = f"{got['points']:,.0f} designs on all boards"

    def row(what: str, unit: str, value: float, peer: str, other: float, ratio: float) -> Any:
        return {"name": what, "value": value, "unit": unit, "peer": peer, "peer_value": other,
                "ratio": ratio}  # fmt: skip

    alone, name = 1 / got["plain_point_s"], "FPGA designs with exact fronts"
    return [
        row(name, "designs/s", rate, "must reach", wanted, rate / wanted),
        row(name, "designs/s", rate, "one estimate after another",
            alone, rate / alone),
        row(f"{many}, first search", "s", got["first_s"], "must stay below", TARGET_S,
            TARGET_S / got["first_s"]),
        row(f"{many}, next search", "s", got["search_s"], "must stay below", TARGET_S,
            TARGET_S / got["search_s"]),
        row(f"{many}, peak", "B", got["peak_bytes"], "must stay below", TARGET_BYTES,
            TARGET_BYTES / got["peak_bytes"]),
        row(f"front of {PLAIN_FRONT:,} designs", "s", got["front_s"], "a numpy loop",
            got["plain_front_s"], got["plain_front_s"] / got["front_s"]),
    ]  # fmt: skip


if __name__ == "__main__":
    if "--measure" in sys.argv:
        print(json.dumps(measure()))
    else:
        for line in main():
            print(json.dumps(line))
