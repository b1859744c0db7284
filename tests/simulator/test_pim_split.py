"""Experts between an xPU and a PIM: time curves, their crossover, the rule against all splits."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moesaic.base import BadInput
from moesaic.hardware.load import device, system
from moesaic.roofline import bound, operators
from moesaic.roofline.bound import units
from moesaic.simulator.pim import split_by_rule
from moesaic.simulator.step.expert_time import TimeCurve, crossover
from moesaic.workload import make_step
from moesaic.workload.load import model


def curves(name="mixtral-8x7b", on="duplex"):
    """The expert's curves on the xPU and on the PIM."""
    xpu, pim = (TimeCurve.of(model(name), unit) for unit in units(device(on)))
    return xpu, pim


def least_makespan(loads, xpu, pim):
    """The best of all 2^experts splits."""
    on_pim = np.array(list(itertools.product((False, True), repeat=len(loads))))
    return np.maximum((on_pim * pim(loads)).sum(axis=1), (~on_pim * xpu(loads)).sum(axis=1)).min()


def test_one_token_costs_the_weights_and_many_their_flops():
    xpu, _ = curves()
    weights = 3 * 4096 * 14336
    assert xpu(1) == pytest.approx(2 * weights / 3.352e12)
    assert xpu(4096) == pytest.approx(2 * 4096 * weights / 989.4e12)
    assert xpu(0) == 0


@pytest.mark.parametrize(
    ("name", "prefill"),
    [("mixtral-8x7b", 256), ("olmoe-1b-7b", 256), ("deepseek-v3", 256), ("mixtral-8x7b", 8192)],
)
def test_the_curve_is_the_roofline_of_the_same_operators(name, prefill):
    found, machine = model(name), system("l40s")
    table = operators(found, make_step(found, prefill=prefill), machine)
    step = bound(table, machine)
    layer = found.moe_layers[0]
    rows = [
        i
        for i, operator in enumerate(table.operators)
        if operator.layer == layer and operator.name in ("experts.gate_up", "experts.down")
    ]
    curve = TimeCurve.of(found, units(machine.devices[0])[0])
    each = found.experts
    expected = each.count * curve(prefill * each.top_k / each.count)
    # All experts are touched, nearly for sure; their activations stay in the cache.
    assert step.operator_s[rows, 0].sum() == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("on", ["duplex", "bank-pim", "bank-group-pim"])
@pytest.mark.parametrize("name", ["mixtral-8x7b", "olmoe-1b-7b"])
def test_curves_never_fall_and_take_any_shape(name, on):
    for curve in curves(name, on):
        seconds = curve(np.arange(1, 4097).reshape(64, 64))
        assert seconds.shape == (64, 64)
        assert (np.diff(seconds.ravel()) >= 0).all()


def test_the_crossover_is_where_pim_flops_take_as_long_as_the_hosts_weights():
    xpu, pim = curves()
    # 2 n w / 106.496e12 = 2 w / 3.352e12, so n = 31.77.
    assert crossover(pim, xpu) == 32
    assert pim(31) < xpu(31)
    assert xpu(32) < pim(32)


def test_a_unit_that_is_never_faster_has_no_crossover():
    xpu, pim = curves()
    assert crossover(pim, pim) is None
    assert crossover(pim, xpu, most=31) is None


def test_a_split_expert_takes_its_share():
    found, unit = model("mixtral-8x7b"), units(device("duplex"))[1]
    whole, quarter = (TimeCurve.of(found, unit, expert_tp=tp) for tp in (1, 4))
    assert quarter(1) == pytest.approx(whole(1) / 4, rel=1e-3)


@given(st.lists(st.integers(0, 290), min_size=1, max_size=10))
def test_the_rule_is_exact_while_every_expert_is_memory_bound_on_the_xpu(loads):
    """Each expert then costs the xPU the same, so the cheapest ones for the PIM are best moved."""
    xpu, pim = curves("olmoe-1b-7b")
    tokens = np.array(loads, float)
    assert xpu(290) == xpu(1)
    assert split_by_rule(tokens, xpu, pim).makespan_s == pytest.approx(
        least_makespan(tokens, xpu, pim), abs=1e-15
    )


@given(st.lists(st.integers(0, 4000), min_size=1, max_size=9))
def test_the_rule_lies_between_the_best_split_and_either_unit_alone(loads):
    xpu, pim = curves("olmoe-1b-7b")
    tokens = np.array(loads, float)
    split = split_by_rule(tokens, xpu, pim)
    assert split.makespan_s >= least_makespan(tokens, xpu, pim) * (1 - 1e-12)
    assert split.makespan_s <= min(xpu(tokens).sum(), pim(tokens).sum()) * (1 + 1e-12)


@given(st.lists(st.integers(0, 400), min_size=1, max_size=20))
def test_the_rule_moves_the_experts_with_the_fewest_tokens_and_keeps_its_books(loads):
    xpu, pim = curves("olmoe-1b-7b")
    tokens = np.array(loads, float)
    split = split_by_rule(tokens, xpu, pim)
    moved, kept = tokens[split.on_pim], tokens[~split.on_pim]
    if moved.size and kept.size:
        assert moved.max() <= kept.min()
    assert split.pim_s == pytest.approx(pim(moved).sum(), abs=1e-15)
    assert split.xpu_s == pytest.approx(xpu(kept).sum(), abs=1e-15)


def test_the_rule_one_move_at_a_time_gives_the_same():
    xpu, pim = curves("olmoe-1b-7b")
    loads = np.array([3.0, 90, 0, 14, 14, 250, 7, 31])
    on_pim, seen = np.zeros(8, bool), []
    for expert in (None, *np.argsort(loads, kind="stable")):
        if expert is not None:
            on_pim[expert] = True
        seen.append(max(pim(loads[on_pim]).sum(), xpu(loads[~on_pim]).sum()))
    assert split_by_rule(loads, xpu, pim).makespan_s == pytest.approx(min(seen))


@pytest.mark.parametrize(
    "loads", [[], [[1, 2]], [1, -1], [1, float("nan")], [float("inf")]], ids=str
)
def test_loads_that_are_none_are_refused(loads):
    with pytest.raises(BadInput, match="loads"):
        split_by_rule(loads, *curves())


@pytest.mark.parametrize("tokens", [-1, float("nan"), [1, float("inf")]], ids=str)
def test_tokens_that_are_none_are_refused(tokens):
    with pytest.raises(BadInput, match="tokens"):
        curves()[0](tokens)


def test_a_split_that_does_not_divide_and_an_empty_search_are_refused():
    xpu, pim = curves()
    with pytest.raises(BadInput, match="expert_tp"):
        TimeCurve.of(model("mixtral-8x7b"), xpu.unit, expert_tp=5)
    with pytest.raises(BadInput, match="most"):
        crossover(pim, xpu, most=0)
