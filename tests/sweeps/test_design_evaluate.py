"""Rows of words evaluated together: equal to one estimate after another, faults included."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moesaic.base import BadInput
from moesaic.roofline import fit, operators
from moesaic.roofline.bound import spent_by_resource
from moesaic.simulator import estimate
from moesaic.sweeps.design.evaluate import evaluate
from moesaic.sweeps.design.paths import ANY_TIER
from moesaic.sweeps.design.results import OK, RESULTS, TOO_LARGE
from moesaic.sweeps.design.varied import LEAVES, TOTALS
from moesaic.sweeps.design.words import model_of, split_of, system_of
from moesaic.workload import make_step

BANDWIDTH = "system.device.memory.bandwidth_bytes_per_s"
PEAKS = "times:system.device.peak_flops_per_s"
NUMBERS = [name for name, result in RESULTS.items() if result.kind == "number"]
MACHINES = [
    {"on": "dgx-h100"},
    {"on": "two-node-h100"},
    {"on": "attacc-2x8"},
    {"on": "duplex-4"},
    {"on": "bank-pim-8"},
    {"on": "h100-sxm"},
    {"device": "zcu102", "count": 4, "per_node": 4, "link": "pcie-gen4-x16"},
    {
        "device": "h200-sxm",
        "count": 16,
        "per_node": 8,
        "link": "nvlink4",
        "network": "infiniband-ndr",
    },
]
LARGE = [MACHINES[1], MACHINES[2], MACHINES[-1]]
"""Of sixteen devices."""
FIGURES = {
    BANDWIDTH: st.floats(2e11, 2e13),
    "system.device.memory.capacity_bytes": st.floats(1e10, 1e12),
    "system.device.memory.energy_j_per_byte": st.floats(0, 1e-10),
    "system.device.energy_j_per_flop": st.floats(0, 1e-11),
    "system.device.internal_bandwidth_bytes_per_s": st.floats(1e12, 1e14),
    "system.device.host.energy_j_per_flop": st.floats(0, 1e-11),
    "system.device.cache.capacity_bytes": st.floats(1e6, 1e9),
    "system.device.price_usd_per_hour": st.floats(0, 10),
    "system.device.area_m2": st.floats(1e-5, 1e-3),
    "system.tiers.node.link.bandwidth_bytes_per_s": st.floats(1e10, 1e12),
    "system.tiers.node.link.latency_s": st.floats(0, 1e-4),
    "system.tiers.node.link.energy_j_per_byte": st.floats(0, 1e-10),
    "system.power_w": st.floats(100, 1e5),
    PEAKS: st.floats(0.1, 10),
    "times:system.device.memory.bandwidth_bytes_per_s": st.floats(0.5, 2),
    "times:system.device.peak_flops_per_s.bf16": st.sampled_from([1.0, 1.0, 0.5]),
    "times:system.device.area_m2": st.floats(0.5, 2),
}


@st.composite
def rows(draw, large=False):
    """Some rows: words of one space, so that each row has all of them. large: of many experts on
    many devices too, which take long one by one."""
    count = draw(st.integers(1, 6))
    several = draw(st.booleans())
    keys = ["on", "device", "count", "per_node", "link", "network"]
    plain = {"on": "", "device": "", "count": 1, "per_node": 8, "link": "", "network": ""}
    machines = draw(st.lists(st.sampled_from(MACHINES), min_size=count, max_size=count))
    machines = machines if several else machines[:1] * count
    few = large or all(machine not in LARGE for machine in machines)
    words = {key: [(plain | machine)[key] for machine in machines] for key in keys}
    shapes = {
        "model": st.sampled_from(["mixtral-8x7b", "qwen3-30b-a3b", "deepseek-v3"][: 2 + few]),
        "weights": st.sampled_from(["", "fp8", "int4"]),
        "tp": st.sampled_from([0, 0, 1, 2, 4]),
        "ep": st.sampled_from([0, 0, 2, 8]),
        "pp": st.sampled_from([0, 0, 0, 2]),
        "batch": st.sampled_from([1, 7, 64, 300]),
        "context": st.integers(0, 5000),
        "prompt": st.sampled_from([0, 100]),
    }
    figures = draw(st.lists(st.sampled_from(sorted(FIGURES)), unique=True, max_size=4))
    shapes |= {name: FIGURES[name] for name in figures}
    for name, values in shapes.items():
        words[name] = draw(st.lists(values, min_size=count, max_size=count))
    return {name: column(values) for name, values in words.items()}


def column(values):
    return np.array(values, object if isinstance(values[0], str) else None)


def one(columns, row):
    """The words of a row."""
    return {
        name: values[row].item() if hasattr(values[row], "item") else values[row]
        for name, values in columns.items()
    }


@settings(max_examples=20, deadline=None)
@given(rows())
def test_rows_equal_one_estimate_after_another(columns):
    rows_are_estimates(columns)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(rows(large=True))
def test_rows_of_large_models_equal_one_estimate_after_another(columns):
    rows_are_estimates(columns)


def rows_are_estimates(columns):
    got = evaluate(columns)
    assert set(got) == set(RESULTS)
    for row in range(columns["batch"].size):
        words, found = one(columns, row), {name: values[row] for name, values in got.items()}
        try:
            model, system = model_of(words), system_of(words)
            split = split_of(words, system, model)
            step = make_step(model, batch=words["batch"], context=words["context"])
            asked: dict[str, Any] = {"parallel": split, "detail": "bound", "ignore_capacity": True}
            wanted = estimate(model, step, system, **asked)
        except BadInput:
            assert found["status"] not in (OK, TOO_LARGE, "")
            assert np.isnan(
                [found[name] for name in RESULTS if isinstance(found[name], float)]
            ).all()
            continue
        table = operators(model, step, system, split)
        held = fit(model, table, system, split)
        assert found["status"] == (OK if held.ok else TOO_LARGE)
        assert found["tpot_s"] == pytest.approx(wanted.seconds, rel=1e-9)
        assert found["spare_bytes"] == pytest.approx((held.capacity - held.needed).min(), abs=1)
        joules = np.nan if wanted.energy_j is None else wanted.energy_j / words["batch"]
        assert found["energy_j_per_token"] == pytest.approx(joules, rel=1e-9, nan_ok=True)
        spent = spent_by_resource(table, system)
        assert spent[found["limiter"]] == pytest.approx(max(spent.values()), rel=1e-6)
        first = np.nan
        if words["prompt"]:
            first = estimate(
                model, make_step(model, prefill=words["prompt"]), system, **asked
            ).seconds
        assert found["ttft_s"] == pytest.approx(first, rel=1e-9, nan_ok=True)
        rate = words["batch"] / wanted.seconds
        assert found["throughput_tokens_per_s"] == pytest.approx(rate, rel=1e-9)
        assert found["device_tokens_per_s"] == pytest.approx(rate / split.devices, rel=1e-9)
        assert found["devices"] == split.devices
        for name in TOTALS:
            own = getattr(system, name, None)
            each = [getattr(device, name) for device in system.devices]
            total = (np.nan if None in each else sum(each)) if own is None else own
            assert found[name] == pytest.approx(total, rel=1e-9, nan_ok=True)
        cost = found["price_usd_per_hour"] / 3600 / rate
        assert found["cost_usd_per_token"] == pytest.approx(cost, rel=1e-9, nan_ok=True)


def alone(**words):
    """The results of a single row on eight H100, where the words say nothing else."""
    words = {"model": "mixtral-8x7b", "on": "dgx-h100", "batch": 8, "context": 100, **words}
    got = evaluate({name: column([value]) for name, value in words.items()})
    return {name: values[0] for name, values in got.items()}


@pytest.mark.parametrize("leaf", sorted(LEAVES))
def test_a_figure_takes_what_its_spec_takes(leaf):
    path = leaf.replace(ANY_TIER, "node")
    on = "duplex-4" if "host" in leaf or "internal" in leaf else "dgx-h100"
    for value in (-1.0, 0.0, 1e-9, np.inf, np.nan):
        words = {"on": on, path: value}
        try:
            system_of(words)
            built = value == value
        except BadInput:
            built = False
        found = alone(**words)
        assert (found["status"] in (OK, TOO_LARGE)) == built
        assert built or found["status"].startswith(("system.", path))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ({"batch": 0}, "batch: must be whole, from 1 to"),
        ({"batch": 1.5}, "batch: must be whole, from 1 to"),
        ({"context": np.nan}, "context: must be whole, from 0 to"),
        ({"prompt": -1}, "prompt: must be whole, from 0 to"),
        ({BANDWIDTH: "4.8 TB/s"}, f"{BANDWIDTH}: takes numbers"),
        ({"tp": 3}, "tp: does not divide the 32 attention heads of mixtral-8x7b (got 3)"),
        ({"tp": 16}, "needs 16 devices; NVIDIA DGX H100 has 8"),
        ({"on": ""}, "on: name a machine by `on`, or by `device`"),
        ({"model": ""}, "model: is not named"),
        ({BANDWIDTH: -1.0}, f"{BANDWIDTH}: must be finite and greater than 0"),
        ({"system.tiers.node.link.latency_s": -1e-6}, "must be finite and at least 0"),
        ({"system.tiers.rack.link.latency_s": 1e-6}, "has no tier 'rack'; it has node"),
        ({"system.device.peak_flops_per_s.fp8": 5e15}, "fp8/bf16 must be 1 or 2"),
        ({"times:system.device.area_m2": 2.0}, "states no area_m2"),
        ({"times:system.device.peak_flops_per_s.int16": 2.0}, "int16"),
        ({"system.device.cache.partitions": 0}, "partitions"),
        ({"on": "zcu102", "weights": "fp8"}, "zcu102 has no peak for fp8"),
    ],
)
def test_a_row_that_cannot_be_built_says_why(words, sentence):
    found = alone(**words)
    assert sentence.replace("NVIDIA DGX H100", "dgx-h100") in found["status"]
    assert found["limiter"] == found["detail"] == ""
    assert all(np.isnan(found[name]) for name in NUMBERS)


def test_faults_of_one_row_leave_the_others_alone():
    bandwidth = np.array([2e12, -1.0, 4e12])
    words = {"model": "mixtral-8x7b", "on": "dgx-h100", "batch": 8, "context": 100}
    columns = {name: column([value] * 3) for name, value in words.items()}
    got = evaluate({**columns, BANDWIDTH: bandwidth})
    assert (got["status"] == OK).tolist() == [True, False, True]
    for row in (0, 2):
        assert got["tpot_s"][row] == alone(**{BANDWIDTH: bandwidth[row]})["tpot_s"]


def test_what_is_set_is_multiplied_afterwards():
    wide = alone(**{BANDWIDTH: 6e12})
    assert alone(**{f"times:{BANDWIDTH}": 2.0, BANDWIDTH: 3e12})["tpot_s"] == wide["tpot_s"]
    assert wide["tpot_s"] < alone(**{BANDWIDTH: 3e12})["tpot_s"]


def test_a_split_that_crosses_the_nodes_unevenly_has_its_own_machine_in_each_row():
    words = {"model": "mixtral-8x7b", "on": "two-node-h100", "dp": 6, "ep": 6, "pp": 2, "batch": 40}
    columns = {name: column([value] * 3) for name, value in words.items()}
    got = evaluate({**columns, BANDWIDTH: np.array([2e12, -1.0, 4e12])})
    assert got["status"][1] == f"{BANDWIDTH}: must be finite and greater than 0"
    for row, rate in ((0, 2e12), (2, 4e12)):
        told = {**words, BANDWIDTH: rate}
        model, system = model_of(told), system_of(told)
        step = make_step(model, batch=40)
        wanted = estimate(model, step, system, parallel=split_of(told, system, model))
        assert got["tpot_s"][row] == pytest.approx(wanted.seconds, rel=1e-9)
        assert got["power_w"][row] == 16 * (system.devices[0].power_w or 0)


def test_unlike_devices_are_evaluated_one_machine_at_a_time(tmp_path):
    file = tmp_path / "mixed.toml"
    file.write_text(
        'name = "mixed"\ndevices = [{ device = "h100-sxm" }, { device = "a100-80gb-sxm" }]\n'
        'tiers = [{ name = "node", size = 2, link = "nvlink3" }]\n'
    )
    words = {"on": "mixed.toml", "model": "olmoe-1b-7b", "tp": 2, "batch": 5, "context": 9}
    columns = {name: column([value] * 2) for name, value in words.items()}
    power = np.array([500.0, 600.0])
    got = evaluate({**columns, "system.device.power_w": power}, here=tmp_path)
    model, system = model_of(words), system_of(words, tmp_path)
    step = make_step(model, batch=5, context=9)
    wanted = estimate(model, step, system, parallel=split_of(words, system, model))
    assert got["tpot_s"] == pytest.approx(wanted.seconds, rel=1e-9)
    assert got["power_w"].tolist() == [1000.0, 1200.0]
    assert got["status"].tolist() == [OK, OK]


def test_more_rows_than_one_block_are_the_same_as_in_parts(monkeypatch):
    rng = np.random.default_rng(0)
    columns = {
        "model": column(["mixtral-8x7b"] * 50),
        "on": column([("dgx-h100", "attacc-2x8")[i % 2] for i in range(50)]),
        "batch": rng.integers(1, 200, 50),
        BANDWIDTH: rng.uniform(1e12, 5e12, 50),
        "own": np.arange(50),  # a name of a space's own, for its expressions
    }
    whole = evaluate(columns)
    monkeypatch.setattr("moesaic.sweeps.design.evaluate.BLOCK", 7)
    parts = evaluate(columns)
    for name in RESULTS:
        np.testing.assert_array_equal(whole[name], parts[name])


def test_no_row_is_no_answer():
    got = evaluate({"model": np.array([], object), "batch": np.array([], int)})
    assert {name: values.size for name, values in got.items()} == dict.fromkeys(RESULTS, 0)


def test_an_unknown_detail_or_a_load_of_texts_is_refused():
    with pytest.raises(BadInput, match="tile"):
        evaluate({"batch": np.array([1])}, detail="tiles")
    with pytest.raises(BadInput, match="batch: takes numbers"):
        evaluate({"batch": column(["many"])})
