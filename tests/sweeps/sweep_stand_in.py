"""A run with a stand-in for the evaluator, as a program of its own: to be killed by tests.

python sweep_stand_in.py FOLDER SPACE --jobs 2 --chunk 50 --nap 0.02
"""

import argparse
import contextlib
import os
import sys
import time
from pathlib import Path

import numpy as np

from moesaic.base import BadInput
from moesaic.sweeps.design import run as runs
from moesaic.sweeps.design.engine import Where
from moesaic.sweeps.design.folder import create, opened
from moesaic.sweeps.design.locks import WHOLE, shard_of
from moesaic.sweeps.design.results import RESULTS

SPACE = """
title = "A small space"
seed = 3
goals = ["tpot_s < 0.01"]

[fixed]
model = "mixtral-8x7b"
on = "dgx-h100"
prompt = 512

[axes]
batch = { from = 1, to = 40, step = 1 }
context = { from = 100, to = 3000, step = 100 }

[constraints]
small = "batch * context < 60000"

[objectives]
minimise = ["tpot_s"]
maximise = ["throughput_tokens_per_s"]

[finer]
most = 200

[served]
most = 10
"""


def contents(folder):
    """The bytes of every file of a run that anyone may look at, by its path."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    shown = {path.relative_to(folder): path for path in files}
    return {
        name.as_posix(): path.read_bytes()
        for name, path in shown.items()
        if not any(part.startswith(".") for part in name.parts)
    }


class StandIn:
    """Results that follow from batch and context alone. nap: seconds of a call; deadly: a point at
    which the worker is killed, once if a marker file is named."""

    def __init__(self, nap=0.0, deadly=None, marker=None):
        self.nap, self.deadly, self.marker = nap, deadly, marker

    def __call__(self, columns, detail, seed, here):
        points = columns["point"]
        time.sleep(self.nap)
        if self.deadly is not None and self.deadly in points:
            self._die()
        batch, context = (columns[name].astype(float) for name in ("batch", "context"))
        slower = {"bound": 1.0, "served": 1.5}.get(detail, 1.2)
        tpot = slower * (1e-3 + 1e-6 * context) * (1 + 0.1 * np.sqrt(batch)) * (1 + 1e-6 * seed)
        rows = {name: np.full(points.size, np.nan) for name in RESULTS}
        rows |= {
            "tpot_s": tpot,
            "throughput_tokens_per_s": batch / tpot,
            "devices": np.full(points.size, 8),
            "spare_bytes": 1e9 - 1e3 * batch * context,
            "limiter": np.array(["memory"] * points.size, object),
            "status": np.array(["ok"] * points.size, object),
        }
        return rows

    def _die(self):
        if self.marker:
            if Path(self.marker).exists():
                return
            Path(self.marker).touch()
        os.kill(os.getpid(), 9)


def main():
    words = argparse.ArgumentParser()
    words.add_argument("folder", type=Path)
    words.add_argument("space", type=Path, nargs="?")
    words.add_argument("--jobs", type=int, default=1)
    words.add_argument("--engine", default="loky")
    words.add_argument("--shard", default="")
    words.add_argument("--chunk", type=int, default=50)
    words.add_argument("--nap", type=float, default=0.0)
    words.add_argument("--deadly", type=int)
    words.add_argument("--marker")
    words.add_argument("--largest-file", type=int)
    asked = words.parse_args()
    if asked.largest_file:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (asked.largest_file,) * 2)
    runs.CHUNK["bound"] = asked.chunk
    told = (lambda now: print(*now, flush=True)) if asked.nap else None
    try:
        folder = create(asked.folder, asked.space) if asked.space else opened(asked.folder)
        runs.run(
            folder,
            Where(asked.jobs, asked.engine),
            shard=shard_of(asked.shard) if asked.shard else WHOLE,
            evaluate=StandIn(asked.nap, asked.deadly, asked.marker),
            progress=told,
        )
    except BadInput as fault:
        print(fault, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        sys.exit(main())
