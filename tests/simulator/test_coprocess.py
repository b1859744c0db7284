"""Experts between an xPU and a PIM: time curves, their crossover, ways to share them."""

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
from moesaic.simulator.step.coprocess import COPROCESS, by_rule, by_space, exact, one_unit
from moesaic.simulator.step.expert_time import TimeCurve, crossover
from moesaic.simulator.step.least_makespan import least_makespan
from moesaic.workload import make_step
from moesaic.workload.load import model
from moesaic.workload.synthetic import plackett_luce


def curves(name="mixtral-8x7b", on="duplex"):
    """The expert's curves on the xPU and on the PIM."""
    xpu, pim = (TimeCurve.of(model(name), unit) for unit in units(device(on)))
    return xpu, pim


def least_of_all(xpu_s, pim_s):
    """The best of all 2^experts shares of each row."""
    on_pim = np.array(list(itertools.product((0, 1), repeat=xpu_s.shape[1])))
    return np.maximum(xpu_s @ (1 - on_pim).T, pim_s @ on_pim.T).min(axis=1)


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


def seconds(loads, name="olmoe-1b-7b"):
    """The loads [rows, experts] and each expert's seconds on the xPU and on the PIM."""
    tokens = np.atleast_2d(np.array(loads, float))
    return tokens, *(curve(tokens) for curve in curves(name))


TOKENS = st.one_of(st.integers(0, 40), st.integers(0, 290), st.integers(0, 4000))
LAYER = st.lists(TOKENS, min_size=1, max_size=12)


@given(st.lists(st.integers(0, 290), min_size=1, max_size=10))
def test_the_rule_is_exact_while_every_expert_is_memory_bound_on_the_xpu(loads):
    """Each expert then costs the xPU the same, so the cheapest ones for the PIM are best moved."""
    tokens, xpu_s, pim_s = seconds(loads)
    assert curves()[0](290) == curves()[0](1)
    assert by_rule(xpu_s, pim_s, tokens).makespan_s == pytest.approx(
        least_of_all(xpu_s, pim_s), abs=1e-15
    )


@given(LAYER)
def test_the_search_finds_the_best_of_all_shares_and_proves_it(loads):
    _, (xpu_s,), (pim_s,) = seconds(loads)
    on_pim, bound_s = least_makespan(xpu_s, pim_s)
    reached = max(xpu_s[~on_pim].sum(), pim_s[on_pim].sum())
    assert reached == pytest.approx(least_of_all(xpu_s[None], pim_s[None])[0], rel=1e-10)
    assert bound_s == pytest.approx(reached, rel=1e-10)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=12))
def test_the_search_is_exact_for_any_seconds(pairs):
    xpu_s, pim_s = np.array(pairs, float).T / 7
    on_pim, bound_s = least_makespan(xpu_s, pim_s)
    least = least_of_all(xpu_s[None], pim_s[None])[0]
    assert max(xpu_s[~on_pim].sum(), pim_s[on_pim].sum()) == pytest.approx(least, rel=1e-10)
    assert bound_s == pytest.approx(least, rel=1e-10)


@given(st.lists(LAYER, min_size=1, max_size=3))
def test_bound_least_share_rule_and_one_unit_stand_in_this_order(layers):
    experts = min(map(len, layers))
    tokens, xpu_s, pim_s = seconds([layer[:experts] for layer in layers])
    least = exact(xpu_s, pim_s)
    steps = (
        least.bound_s,
        least.makespan_s,
        by_rule(xpu_s, pim_s, tokens).makespan_s,
        one_unit(xpu_s, pim_s).makespan_s,
    )
    for lower, upper in itertools.pairwise(steps):
        assert (lower <= upper * (1 + 1e-12)).all()


@given(LAYER)
def test_spaces_of_one_expert_each_give_the_least_makespan(loads):
    _, xpu_s, pim_s = seconds(loads)
    found = by_space(xpu_s, pim_s, spaces=len(loads))
    assert found.makespan_s == pytest.approx(least_of_all(xpu_s, pim_s), rel=1e-12)
    assert found.makespan_s == pytest.approx(exact(xpu_s, pim_s).makespan_s, rel=1e-12)


@pytest.mark.parametrize("way", COPROCESS)
def test_every_way_keeps_its_books_and_rows_apart(way):
    tokens, xpu_s, pim_s = seconds(np.random.default_rng(0).poisson(40, (5, 64)), "olmoe-1b-7b")
    shares = COPROCESS[way](xpu_s, pim_s, tokens)
    assert shares.on_pim.shape == tokens.shape
    assert shares.xpu_s == pytest.approx((xpu_s * ~shares.on_pim).sum(axis=1))
    assert shares.pim_s == pytest.approx((pim_s * shares.on_pim).sum(axis=1))
    alone = [
        COPROCESS[way](x[None], p[None], n[None])
        for x, p, n in zip(xpu_s, pim_s, tokens, strict=True)
    ]
    assert [float(row.makespan_s[0]) for row in alone] == shares.makespan_s.tolist()


def test_one_unit_is_the_lesser_of_two_sums():
    _, xpu_s, pim_s = seconds([[1, 2, 3], [4000, 4000, 1]])
    shares = one_unit(xpu_s, pim_s)
    assert (shares.makespan_s == np.minimum(xpu_s.sum(axis=1), pim_s.sum(axis=1))).all()
    assert shares.on_pim.tolist() == [[True] * 3, [False] * 3]


def test_a_space_goes_to_one_unit_whole():
    _, xpu_s, pim_s = seconds([[1, 2, 3, 900, 1, 2, 3, 900]])
    on_pim = by_space(xpu_s, pim_s).on_pim.reshape(2, 4)
    assert (on_pim[0] == on_pim[1]).all()
    assert on_pim[0].any()
    assert not on_pim[0].all()


def test_the_rule_moves_the_experts_with_the_fewest_tokens():
    tokens, xpu_s, pim_s = seconds(np.random.default_rng(1).integers(0, 400, (30, 20)))
    on_pim = by_rule(xpu_s, pim_s, tokens).on_pim
    moved = np.where(on_pim, tokens, 0).max(axis=1)
    kept = np.where(on_pim, np.inf, tokens).min(axis=1)
    assert (moved <= kept).all()


def test_the_rule_one_move_at_a_time_gives_the_same():
    tokens, xpu_s, pim_s = seconds([3.0, 90, 0, 14, 14, 250, 7, 31])
    on_pim, seen = np.zeros(8, bool), []
    for expert in (None, *np.argsort(tokens[0], kind="stable")):
        if expert is not None:
            on_pim[expert] = True
        seen.append(max(pim_s[0, on_pim].sum(), xpu_s[0, ~on_pim].sum()))
    assert by_rule(xpu_s, pim_s, tokens).makespan_s[0] == pytest.approx(min(seen))


@pytest.mark.parametrize("batch", [64, 1024])
def test_layers_of_256_experts_are_proven_quickly(batch):
    popularity = np.random.default_rng(2).lognormal(0, 0.8, (12, 256))
    loads = plackett_luce(popularity, 8, batch, seed=3).counts().total()
    tokens, xpu_s, pim_s = seconds(loads, "deepseek-v3")
    shares = exact(xpu_s, pim_s)
    assert (shares.bound_s == shares.makespan_s).all()
    assert (shares.makespan_s <= by_rule(xpu_s, pim_s, tokens).makespan_s * (1 + 1e-12)).all()


def test_a_search_cut_short_says_so_by_its_bound():
    """Real numbers without structure: too many sums differ to be tried all."""
    xpu_s = np.random.default_rng(4).random((1, 40))
    pim_s = 3 * xpu_s
    shares = exact(xpu_s, pim_s, width=50)
    divisible = xpu_s.sum() * 3 / 4
    assert divisible * (1 - 1e-12) <= shares.bound_s[0] < shares.makespan_s[0]
    assert shares.makespan_s[0] == pytest.approx(divisible, rel=1e-3)


@pytest.mark.parametrize(
    ("xpu_s", "pim_s"),
    [([1.0], [1.0]), ([[1.0]], [[1.0, 2.0]]), ([[-1.0]], [[1.0]]), ([[1.0]], [[float("nan")]])],
)
def test_seconds_that_are_none_are_refused(xpu_s, pim_s):
    with pytest.raises(BadInput, match="seconds"):
        one_unit(np.array(xpu_s), np.array(pim_s))


def test_spaces_that_do_not_divide_and_loads_of_other_experts_are_refused():
    ones = np.ones((2, 6))
    for spaces in (0, 4, 100):
        with pytest.raises(BadInput, match="spaces"):
            by_space(ones, ones, spaces=spaces)
    with pytest.raises(BadInput, match="loads"):
        by_rule(ones, ones, np.ones((2, 5)))


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
