"""How long a user waits: the help, and the first estimate of a bundled model."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

RUNS = 7
CALLS = (
    ("`moesaic --help`", ["--help"], 0.3),
    (
        "first estimate of a bundled model",
        ["estimate", "mixtral-8x7b", "--on", "dgx-h100", "--tp", "2", "--batch", "16"],
        1.0,
    ),
    ("35 models with totals", ["model", "list", "--json"], 3.0),
)


def main() -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for name, words, target_s in CALLS:
        times = []
        for _ in range(RUNS):
            begin = time.perf_counter()
            subprocess.run(
                [sys.executable, "-m", "moesaic", *words], check=True, capture_output=True
            )
            times.append(time.perf_counter() - begin)
        value = statistics.median(times)
        rows.append(
            {
                "name": name,
                "value": value,
                "unit": "s",
                "peer": "target",
                "peer_value": target_s,
                "ratio": target_s / value,
            }
        )
    return rows
