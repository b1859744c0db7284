"""Rows of a design space looked at closely: as the simulator says, whatever stands beside them."""

import math
from typing import Any

import numpy as np
import pytest

from moesaic.base import BadInput
from moesaic.hardware.load import system
from moesaic.simulator import estimate
from moesaic.sweeps.design.evaluate import evaluate
from moesaic.sweeps.design.finer import finer
from moesaic.sweeps.design.results import RESULTS
from moesaic.workload import Parallel, make_step
from moesaic.workload.load import model

BANDWIDTH = "times:system.device.memory.bandwidth_bytes_per_s"
WORDS: dict[str, list[Any]] = {
    "model": ["mixtral-8x7b", "mixtral-8x7b", "qwen3-30b-a3b", "mixtral-8x7b", "mixtral-8x7b"],
    "on": ["dgx-h100", "dgx-h100", "h100-4", "duplex-4", "dgx-h100"],
    "tp": [8, 8, 0, 4, 7],
    "batch": [64, 1, 100, 16, 8],
    "context": [4096, 100, 1000, 1024, 0],
    "prompt": [0, 512, 0, 256, 0],
    "output": [64] * 5,
    "kernels": ["", "vllm", "", "", ""],
    BANDWIDTH: [1.0, 1.5, 1.0, 1.0, 1.0],
}


def table(words=None, only=None):
    """The words as columns: all rows, or those numbered."""
    columns = {}
    for name, values in (words or WORDS).items():
        kind = object if isinstance(values[0], str) else None
        columns[name] = np.array(values, dtype=kind)
        if only is not None:
            columns[name] = columns[name][only]
    return columns


def looked(detail, words=None, only=None, seed=0):
    columns = table(words, only)
    return finer(columns, detail, seed, evaluate(columns))


def test_gpus_are_looked_at_by_tiles_and_pim_by_cycles():
    found, bound = looked("finer"), evaluate(table())
    steps = [
        ("mixtral-8x7b", "dgx-h100", Parallel(tp=8), {"batch": 64, "context": 4096}, "tile"),
        ("qwen3-30b-a3b", "h100-4", Parallel(tp=4), {"batch": 100, "context": 1000}, "tile"),
        ("mixtral-8x7b", "duplex-4", Parallel(tp=4), {"batch": 16, "context": 1024}, "cycle"),
    ]
    for row, (name, on, split, load, detail) in zip((0, 2, 3), steps, strict=True):
        shape = model(name)
        step = make_step(shape, batch=load["batch"], context=load["context"])
        alone = estimate(
            shape, step, system(on), parallel=split, detail=detail, ignore_capacity=True
        )
        assert found["tpot_s"][row] == pytest.approx(alone.seconds, rel=1e-12)
        assert found["limiter"][row] == alone.limiter
        rate = load["batch"] / alone.seconds
        assert found["throughput_tokens_per_s"][row] == pytest.approx(rate)
        assert found["device_tokens_per_s"][row] == pytest.approx(rate / split.devices)
    assert found["tpot_s"][0] > bound["tpot_s"][0]
    assert found["energy_j_per_token"][0] == bound["energy_j_per_token"][0]


def test_a_prompt_is_timed_alone_by_the_kernels_that_are_named():
    found, bound = looked("tile"), evaluate(table())
    assert np.isnan(found["ttft_s"][[0, 2]]).all()
    assert found["ttft_s"][1] > bound["ttft_s"][1]
    other = looked("tile", {**WORDS, "kernels": [""] * 5})
    assert found["ttft_s"][1] != other["ttft_s"][1]
    assert found["ttft_s"][0] != found["ttft_s"][1]


@pytest.mark.parametrize("detail", ["tile", "finer"])
def test_no_row_depends_on_what_stands_beside_it(detail):
    whole = looked(detail)
    for only in ([0], [1], [3], [4, 2, 0], [3, 1]):
        part = looked(detail, only=only)
        for name in RESULTS:
            np.testing.assert_array_equal(part[name], whole[name][only], err_msg=name)


def test_rows_that_cannot_be_priced_say_why_and_hold_no_numbers():
    found = looked("tile")
    assert [bool(math.isfinite(seconds)) for seconds in found["tpot_s"]] == [1, 1, 1, 0, 0]
    assert "no GPU" in found["status"][3]
    assert "tp" in found["status"][4]
    assert all(np.isnan(found[name][3]) for name in RESULTS if RESULTS[name].kind == "number")
    assert found["limiter"][3] == ""
    strange = looked("tile", {**WORDS, "kernels": ["tgi", "", "", "", ""]})
    assert "trtllm, sglang, vllm" in strange["status"][0]
    assert math.isfinite(strange["tpot_s"][1])
    with pytest.raises(BadInput, match="detail"):
        looked("tiles")


def test_what_does_not_fit_keeps_its_numbers():
    words = {"model": ["deepseek-v3"], "on": ["h100-4"], "batch": [8], "context": [128]}
    found = looked("finer", words)
    assert found["status"][0] == "does not fit"
    assert found["spare_bytes"][0] < 0 < found["tpot_s"][0]


def test_served_requests_are_those_of_the_seed(monkeypatch):
    monkeypatch.setattr("moesaic.sweeps.design.serving.REQUESTS", 40)
    only = [3]
    first, again, other = (looked("served", only=only, seed=seed) for seed in (0, 0, 1))
    assert first["status"][0] == "ok"
    for name in RESULTS:
        np.testing.assert_array_equal(first[name], again[name], err_msg=name)
    assert first["tpot_s"][0] != other["tpot_s"][0]
    assert first["tpot_s"][0] == pytest.approx(other["tpot_s"][0], rel=0.1)
    bound = evaluate(table(only=only))
    assert first["throughput_tokens_per_s"][0] < bound["throughput_tokens_per_s"][0]
    assert first["ttft_s"][0] > 0


def test_what_cannot_be_served_says_why():
    found = looked("served", {**WORDS, "prompt": [0] * 5}, only=[0, 3])
    assert all("prompt" in status for status in found["status"])
    found = looked("served", {**WORDS, "scheduler": ["fair"] * 5}, only=[3])
    assert "scheduler" in found["status"][0]
