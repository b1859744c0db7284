"""Small tables and studies that the tests of sweeps share."""

import numpy as np
import pytest

from moesaic.measured import Measurements, Provenance

MOE = {
    "dtype": "bf16",
    "hidden": 64,
    "inter": 32,
    "topk": 2,
    "num_experts": 8,
    "gated": 1,
    "tp": 1,
    "ep": 1,
    "distribution": "balanced",
    "num_tokens": 4,
    "latency_s": 1e-5,
}
GEMM = {"dtype": "bf16", "m": 4, "n": 32, "k": 64, "latency_s": 1e-5}


@pytest.fixture
def table():
    """table(kind, rows): a table of that kind; a row names what differs from MOE or GEMM."""

    def make(kind="moe", *rows):
        whole = [{**(MOE if kind == "moe" else GEMM), **row} for row in rows or ({},)]
        columns = {name: np.array([row[name] for row in whole]) for name in whole[0]}
        for name, column in columns.items():
            if column.dtype.kind == "U":
                columns[name] = column.astype(object)
        return Measurements(
            kind=kind,
            system="h100-sxm",
            columns=columns,
            provenance=Provenance(source="made by a test"),
            evidence="measured-published",
        )

    return make


STUDY = """
title = "A small study"
seed = 3

[[chapter]]
kind = "machines"
name = "machines"
title = "Two machines"
model = "olmoe-1b-7b"
load = { batch = 8, context = 512 }
machines = [{ on = "h100-sxm" }, { on = "l40s", label = "an L40S" }]

[[chapter]]
kind = "roof"
name = "roof"
title = "On the roof"
model = "olmoe-1b-7b"
machine = { on = "h100-sxm" }
loads = [{ batch = 1, context = 512 }, { prefill = 1024 }]

[[chapter]]
kind = "timeline"
name = "timeline"
title = "In time"
model = "olmoe-1b-7b"
machine = { on = "dgx-h100", dp = 2, ep = 2 }
load = { batch = 8, context = 512 }

[[chapter]]
kind = "placement"
name = "loads"
title = "Placed"
trace = "DATA/tiny_mixtral_E16k2_seed0.npz"
ranks = 4
methods = ["contiguous", "lpt"]

[[chapter]]
kind = "compare"
name = "gemm"
title = "Held against measurements"
what = "gemm"
on = "a100-80gb-sxm"
"""


@pytest.fixture(scope="session")
def written_study(pytestconfig):
    """written_study(folder): a file there with a study of five cheap chapters."""

    def write(folder):
        path = folder / "study.toml"
        path.write_text(STUDY.replace("DATA", str(pytestconfig.rootpath / "examples" / "data")))
        return path

    return write


@pytest.fixture
def study(tmp_path, written_study):
    """A file with a study of five cheap chapters."""
    return written_study(tmp_path)
