"""Kernel predictions per second of the tile models, on recorded calls, in one process.

Run: python bench/kernel_predictions.py
"""

from __future__ import annotations

import time

import numpy as np

TARGET_PER_S = 200_000.0
CALLS = 20_000
GPU = "h100-sxm"
FEWEST = 5000


def main() -> list[dict[str, object]]:
    from moesaic.hardware.load import device
    from moesaic.measured import load
    from moesaic.simulator.gpu import shipped
    from moesaic.sweeps.accuracy.families import families

    rows: list[dict[str, object]] = []
    for kind in ("moe", "gemm", "attention"):
        fitted = shipped(GPU, kind)
        spent, calls = 0.0, 0
        for family in families(load(kind, GPU), device(GPU)):
            if len(family) < FEWEST:
                continue
            few = family.take(np.arange(min(CALLS, len(family))))
            constants = fitted.constants(family.family)
            few.seconds(constants)
            start = time.perf_counter()
            few.seconds(constants)
            spent += time.perf_counter() - start
            calls += len(few)
        value = calls / spent
        rows.append(
            {
                "name": f"{kind} kernels predicted",
                "value": value,
                "unit": "calls/s",
                "peer": "the aim",
                "peer_value": TARGET_PER_S,
                "ratio": value / TARGET_PER_S,
            }
        )
    return rows


if __name__ == "__main__":
    for row in main():
        print(row)
