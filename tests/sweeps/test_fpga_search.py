"""The search: complete, the same whoever helps; heuristics inside it; queues and NL."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moesaic.base import BadInput
from moesaic.hardware import Fpga
from moesaic.hardware.load import device
from moesaic.simulator.fpga.points import image_cycles
from moesaic.simulator.fpga.precision import PRECISIONS
from moesaic.simulator.fpga.resources import Shape, check
from moesaic.sweeps.fpga.compare import HEURISTICS, compare
from moesaic.sweeps.fpga.lanes import choose, padding
from moesaic.sweeps.fpga.queues import even, recorded
from moesaic.sweeps.fpga.search import best, exact, search
from moesaic.sweeps.fpga.space import OBJECTIVES, Axes, Space
from moesaic.sweeps.plots.fronts import fronts_by_board
from moesaic.workload import RoutingCounts, RoutingTrace
from moesaic.workload.load import model

TINY = model("m3vit-tiny")
SMALL = Axes(
    clock_hz=(200e6, 300e6),
    port_bits=(128, 256),
    queries=(1, 4, 9),
    copies=(1, 2),
    tin=(8, 16),
    tout=(8, 16, 32),
    units=(1, 3, 8),
)


def board(name) -> Fpga:
    found = device(name)
    assert isinstance(found, Fpga)
    return found


def space(on="zcu102", form="w16a32", tokens=129, axes=SMALL, queues=None):
    queues = even(TINY, tokens) if queues is None else queues
    return Space(
        board=board(on),
        precision=PRECISIONS[form],
        model=TINY,
        tokens=tokens,
        queues=queues,
        axes=axes,
    )


def test_every_point_of_the_grid_is_what_it_is_alone():
    asked = space()
    whole = asked.grid()
    assert len(whole.objectives) == SMALL.size == 2 * 2 * 3 * 2 * 2 * 3 * 3
    places = np.stack(np.unravel_index(np.arange(SMALL.size), SMALL.shape), axis=1)
    flat = asked.evaluate(tuple(places.T))
    for name in ("objectives", "excess", "msa_s", "moe_s"):
        np.testing.assert_array_equal(getattr(flat, name), getattr(whole, name))
    for point in range(0, SMALL.size, 17):
        one = asked.evaluate(tuple(places[point, :, None]))
        np.testing.assert_array_equal(one.objectives[0], whole.objectives[point])


def test_a_point_is_inside_where_no_budget_refuses_it():
    asked = space("kv260")
    whole, shape = asked.grid(), Shape.of(TINY, 129)
    for point in range(0, SMALL.size, 13):
        one = asked.points([np.array(at) for at in np.unravel_index(point, SMALL.shape)])
        try:
            check(one, shape, asked.board)
        except BadInput:
            assert not whole.inside[point]
        else:
            assert whole.inside[point]


def test_the_front_is_complete():
    """Every point inside the budgets is on the front or dominated by a point of it."""
    found = exact(space())
    whole = found.space.grid()
    assert (found.points, found.inside) == (SMALL.size, whole.inside.sum())
    inside = whole.objectives[whole.inside]
    mine = found.found.objectives
    no_worse = (mine[:, None] <= inside[None]).all(axis=2)
    assert no_worse.any(axis=0).all()
    better = no_worse & (mine[:, None] < inside[None]).any(axis=2)
    assert better.any(axis=0).sum() == found.inside - len(mine)
    assert found.least_interval_s == whole.interval_s[whole.inside].min()


def test_any_number_of_workers_finds_the_same():
    boards = [board(name) for name in ("zcu102", "u200", "v80")]
    alone, many = (search(boards, TINY, 197, axes=SMALL, workers=w) for w in (1, 3))
    assert [front.name for front in alone][:4] == [
        "zcu102 w16a32", "zcu102 int16", "zcu102 int8", "u200 w16a32",
    ]  # fmt: skip
    for one, other in zip(alone, many, strict=True):
        assert one.name == other.name
        np.testing.assert_array_equal(one.place, other.place)
        np.testing.assert_array_equal(one.found.objectives, other.found.objectives)


def test_the_best_of_a_front_is_the_least_of_all():
    found = exact(space())
    whole = found.space.grid()
    for column, name in enumerate(OBJECTIVES):
        least = found.found.objectives[best(found, name), column]
        assert least == whole.objectives[whole.inside, column].min()
    assert found.parameters(best(found))["queries"] == 9


@pytest.mark.parametrize("evaluations", [7, 199, 250, 999])
def test_a_heuristic_asks_as_often_as_it_may_and_finds_no_more_than_there_is(evaluations):
    found = exact(space())
    scores = compare(found, evaluations, seed=1)
    assert [score.name for score in scores] == list(HEURISTICS)
    for score in scores:
        assert score.evaluations == evaluations
        assert 0 <= score.hypervolume <= 1 + 1e-12
        assert 0 <= score.latency <= 1
        assert 0 <= score.interval <= 1


def test_a_seed_tells_what_a_heuristic_finds():
    found = exact(space())
    for one, again in zip(compare(found, 250, seed=1), compare(found, 250, seed=1), strict=True):
        np.testing.assert_array_equal(one.objectives, again.objectives)


def test_the_two_stage_search_ends_where_a_single_kernel_fits():
    lone = msgspec.structs.replace(SMALL, tin=(8,), tout=(8,), units=(1,), clock_hz=(300e6,))
    found = exact(space(axes=lone))
    scores = {score.name: score for score in compare(found, 100, seed=0)}
    assert scores["two-stage"].evaluations == 100
    assert scores["two-stage"].hypervolume > 0


def test_a_two_stage_search_whose_kernels_do_not_fit_draws_the_rest():
    """Beside 256-bit ports the first stage finds no room; 64-bit ports have some."""
    memory = board("zcu102").memory
    slow = msgspec.structs.replace(memory, bandwidth_bytes_per_s=5e9)
    axes = msgspec.structs.replace(SMALL, port_bits=(64, 256))
    asked = msgspec.structs.replace(
        space(axes=axes), board=msgspec.structs.replace(board("zcu102"), memory=slow)
    )
    score = next(each for each in compare(exact(asked), 200) if each.name == "two-stage")
    assert score.evaluations == 200
    assert 0 < score.hypervolume <= 1


@pytest.mark.parametrize("evaluations", [-1, 0, 10**6 + 1])
def test_a_number_of_evaluations_without_bound_is_refused(evaluations):
    found = exact(space())
    with pytest.raises(BadInput, match="evaluations: must lie between 1 and 1000000"):
        compare(found, evaluations)


def test_nsga_finds_nearly_all_of_a_front_with_a_thousand_questions():
    axes = msgspec.structs.replace(SMALL, queries=tuple(range(1, 13)), units=tuple(range(1, 9)))
    found = exact(space(axes=axes))
    scores = {score.name: score.hypervolume for score in compare(found, 1000, seed=0)}
    assert scores["nsga2"] > 0.97
    assert scores["nsga2"] > scores["random"]


def test_a_board_that_holds_nothing_has_an_empty_front():
    tiny = msgspec.structs.replace(board("zcu102"), dsp=10)
    (found,) = search([tiny], TINY, 129, ["int8"], axes=SMALL)
    assert (found.inside, len(found.place)) == (0, 0)
    assert compare(found) == ()


@given(tokens=st.integers(2, 400))
def test_even_queues_hold_every_choice_of_every_token(tokens):
    queues = even(TINY, tokens)
    assert queues.shape == (1, 6, 16)
    assert (queues.sum(axis=2) == 2 * tokens).all()
    assert np.ptp(queues) <= 1


@given(st.lists(st.floats(0, 1e6), min_size=16, max_size=16), st.integers(2, 300))
def test_recorded_counts_are_dealt_in_their_shares_and_no_expert_gets_more_than_all(loads, tokens):
    shares = np.broadcast_to(np.array(loads) + 1e-3, (1, 6, 16)).copy()
    counts = RoutingCounts(loads=shares, layers=tuple(range(6)))
    queues = recorded(counts, TINY, tokens)
    assert (queues.sum(axis=2) == 2 * tokens).all()
    assert queues.min() >= 0
    assert queues.max() <= tokens
    wanted = shares[0] / shares[0].sum(axis=1, keepdims=True) * 2 * tokens
    if wanted.max() <= tokens:
        assert (np.abs(queues[0] - wanted) < 1 + 1e-6).all()


def drawn(tokens, experts=16, top_k=2, layers=6):
    rng = np.random.default_rng(0)
    ids = np.argsort(rng.random((tokens, layers, experts)), axis=2)[..., :top_k].astype(np.int16)
    return RoutingTrace(expert_ids=ids, experts=experts, layers=tuple(range(layers)))


def test_each_run_of_tokens_of_a_trace_is_an_image():
    trace = drawn(400)
    queues = recorded(trace, TINY, 129)
    assert queues.shape == (3, 6, 16)
    for image in range(3):
        ids = trace.expert_ids[image * 129 : image * 129 + 129, 4]
        assert queues[image, 4].tolist() == np.bincount(ids.ravel(), minlength=16).tolist()


@pytest.mark.parametrize(
    ("routing", "says"),
    [
        (drawn(400, experts=8), "routes 8 experts in 6 layers; m3vit-tiny has 16 in 6"),
        (drawn(400, layers=5), "in 5 layers"),
        (drawn(400, top_k=1), "takes 1 experts a token"),
        (drawn(100), "has 100 tokens, an image 129"),
    ],
)
def test_a_routing_of_another_model_is_refused(routing, says):
    with pytest.raises(BadInput, match=says):
        recorded(routing, TINY, 129)


def test_padding_by_hand():
    queues = np.array([[[3, 1, 0, 8]]])
    assert padding(queues, 1) == 0
    assert padding(queues, 4) == pytest.approx(1 - 12 / 16)


def test_more_lanes_pad_more_and_the_chosen_one_is_the_fastest_under_the_load():
    asked = space(queues=recorded(drawn(1000), TINY, 129))
    choice = choose(asked)
    waste = [each.padding for each in choice.lanes]
    assert waste == sorted(waste)
    assert choice.chosen.latency_s == min(each.latency_s for each in choice.lanes)
    assert choice.fixed.even_s == min(each.even_s for each in (*choice.lanes, choice.fixed))
    assert choice.gain >= 0
    for each in choice.lanes:
        assert 0 <= each.hiding <= 1


def test_lanes_are_chosen_by_the_load():
    """One token for each of two experts in ten: a group of eight is mostly padding. Where all
    tokens take the same two, nothing is."""
    axes = msgspec.structs.replace(SMALL, queries=(9,), tin=(8,), tout=(8, 16), units=(1, 8))
    lone = np.ones((1, 6, 16), np.int64)
    both = np.zeros((1, 6, 16), np.int64)
    both[..., :2] = 8
    scattered, together = (
        choose(space(tokens=8, axes=axes, queues=queues)) for queues in (lone, both)
    )
    assert scattered.lanes[1].padding == 1 - 1 / 8
    assert together.lanes[1].padding == 0


def test_hiding_is_what_the_terms_say():
    asked = space(tokens=129)
    choice = choose(asked)
    points = asked.points(
        [
            np.array(v.index(choice.chosen.parameters[n]))
            for n, v in zip(Axes.__struct_fields__, SMALL.values, strict=True)
        ]
    )
    cycles = image_cycles(points, TINY, 129, asked.queues, 19.2e9)
    loads = 6 * 16 * 2 * 192 * 384 / (points.port_bits // 16)
    assert choice.chosen.hiding == pytest.approx(float(cycles.expert_loads) / loads)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"units": ()}, "units: needs ascending values"),
        ({"units": (3, 1)}, "units: needs ascending values"),
        ({"tin": (0, 4)}, "tin: needs ascending values"),
        ({"tin": (4, 8.5)}, r"tin: takes whole numbers only \(got 8.5\)"),
        ({"units": (True,)}, r"units: takes whole numbers only \(got True\)"),
        ({"copies": ("2",)}, "copies: takes whole numbers only"),
        ({"clock_hz": (1e8, float("inf"))}, r"clock_hz: takes finite numbers only \(got inf\)"),
        ({"clock_hz": (float("nan"),)}, "clock_hz: takes finite numbers only"),
        ({"clock_hz": (-1e8,)}, "clock_hz: needs ascending values above zero"),
    ],
)
def test_axes_that_are_none_are_refused(change, says):
    with pytest.raises(BadInput, match=says):
        Axes(**change)


def test_a_search_that_cannot_be_is_refused():
    large = msgspec.structs.replace(Axes(), queries=tuple(range(1, 1000)))
    with pytest.raises(BadInput, match="at most 16777216 are searched"):
        search([board("zcu102")], TINY, 129, axes=large)
    with pytest.raises(BadInput, match="tokens: must lie between 2"):
        search([board("zcu102")], TINY, 1, axes=SMALL)
    with pytest.raises(BadInput, match="queues: must be whole numbers of the shape"):
        search([board("zcu102")], TINY, 129, axes=SMALL, queues=np.ones((2, 6, 15), np.int64))
    with pytest.raises(BadInput, match="workers"):
        search([board("zcu102")], TINY, 129, axes=SMALL, workers=0)
    with pytest.raises(BadInput, match="precision"):
        search([board("zcu102")], TINY, 129, ["int4"], axes=SMALL)
    with pytest.raises(BadInput, match="boards: are named once each; zcu102 comes 2 times"):
        search([board("zcu102")] * 2, TINY, 129, axes=SMALL)
    with pytest.raises(BadInput, match="precisions: are named once each; int8 comes 3 times"):
        search([board("zcu102")], TINY, 129, ["int8"] * 3, axes=SMALL)


@pytest.mark.parametrize(("form", "bits"), [("w16a32", 48), ("int16", 24), ("int8", 100)])
def test_a_port_that_no_whole_features_and_weights_fill_is_refused(form, bits):
    with pytest.raises(BadInput, match=rf"port_bits: must be a multiple .* \(got {bits}\)"):
        space(form=form, axes=msgspec.structs.replace(SMALL, port_bits=(bits,)))


@pytest.mark.parametrize("boards", [("zcu102",), ("zcu102", "u280")])
def test_no_legend_is_cut_at_the_sides_of_its_figure(boards):
    fronts = search([board(name) for name in boards], TINY, 197, axes=SMALL)
    scores = {found.name: compare(found, 50) for found in fronts}
    drawn_ = fronts_by_board(fronts, scores, {"zcu102": [("ubimoe", 1850.0, 25.76e-3)]}, "title")
    drawn_.draw_without_rendering()
    (legend,) = drawn_.legends
    box, whole = legend.get_window_extent(), drawn_.bbox
    assert whole.x0 <= box.x0 < box.x1 <= whole.x1
    assert whole.y0 <= box.y0
