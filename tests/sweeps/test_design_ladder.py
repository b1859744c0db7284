"""Many points at the bound, few more closely: the front is proven, or the gap is told."""

from typing import Any

import numpy as np
import pytest

from moesaic.base import BadInput
from moesaic.sweeps.design.knee import knees
from moesaic.sweeps.design.ladder import apart, closer, floor, joined, served
from moesaic.sweeps.design.monotone import ways
from moesaic.sweeps.design.pareto import front
from moesaic.sweeps.design.results import RESULTS
from moesaic.sweeps.design.search import search
from moesaic.sweeps.design.sensitivity import effects
from moesaic.sweeps.design.space import space
from moesaic.sweeps.design.standing import grouped, judged
from moesaic.sweeps.design.why import why


def asked(**more):
    """4,000 made-up machines of which only words are known."""
    tables = {
        "title": "made up",
        "axes": {
            "batch": [1, 8],
            "context": {"from": 1, "to": 50, "step": 1},
            "prompt": {"from": 1, "to": 40, "step": 1},
        },
        "objectives": {"minimise": ["tpot_s", "area_m2"], "maximise": ["throughput_tokens_per_s"]},
        "finer": {"most": 4000},
    }
    return space(tables | more)


class Rounds:
    """Evaluates by two lines of arithmetic: time falls with `context` and `prompt`, area grows."""

    def __init__(self, of, slower=lambda rows: 1.0 + (rows["point"] * 7919 % 101) / 200):
        self.of, self.slower, self.asked = of, slower, []

    def round(self, stage, name, points, detail):
        rows = self.of.select(points)
        self.asked.append((stage, name, points.size))
        return rows | self.evaluate(rows, 1.0 if detail == "bound" else self.slower(rows))

    def evaluate(self, rows, slower=1.0):
        batch, a, b = (np.asarray(rows[n], float) for n in ("batch", "context", "prompt"))
        time = batch**0.5 * (50 / a + (b - 20) ** 2 / 400 + 1) * slower
        unknown = np.full(batch.size, np.nan)
        found = {n: unknown for n, one in RESULTS.items() if one.kind == "number"}
        return found | {
            "tpot_s": time,
            "area_m2": a + b / 8,
            "throughput_tokens_per_s": batch / time,
            "limiter": np.full(batch.size, "links", object),
            "status": np.where(a + b > 88, "does not fit", "ok").astype(object),
        }


def everywhere(of, rounds, detail):
    return judged(of, rounds.round("all", "all", np.arange(of.size), detail))


def floored(of, rounds):
    return floor(of, rounds.round("all", "all", np.arange(of.size), "bound"))


@pytest.mark.parametrize("by", [[], ["batch"]])
def test_the_front_of_few_simulated_points_is_that_of_all(by):
    of = asked(by=by)
    rounds = Rounds(of)
    found = closer(of, floored(of, rounds), rounds)
    whole = everywhere(of, rounds, "tile")
    assert found.open == found.faster == 0
    assert found.standing.point[found.standing.front()].tolist() == (
        whole.point[whole.front()].tolist()
    )
    assert found.standing.point.size < 0.7 * of.size


def test_a_spent_budget_tells_how_many_points_are_open():
    of = asked(finer={"most": 200})
    rounds = Rounds(of)
    found = closer(of, floored(of, rounds), rounds)
    assert found.standing.point.size == 200
    assert found.open > 0


def test_points_faster_than_their_bound_are_counted():
    of = asked()
    rounds = Rounds(of, slower=lambda rows: np.where(rows["point"] % 2, 0.9, 1.1))
    found = closer(of, floored(of, rounds), rounds)
    assert found.faster == np.count_nonzero(found.standing.point % 2)


def test_goals_leave_points_out_and_say_how_many():
    of = asked(goals=["tpot_s < 9", "devices < 3"])
    standing = everywhere(of, Rounds(of), "bound")
    assert not standing.meets.any()
    assert standing.missed["devices < 3"] == of.size
    assert 0 < standing.missed["tpot_s < 9"] < of.size


def test_an_unknown_objective_keeps_a_point_off_the_front():
    of = asked(objectives={"minimise": ["tpot_s", "energy_j_per_token"]})
    standing = everywhere(of, Rounds(of), "bound")
    assert not standing.front().any()
    assert (
        standing.missed["energy_j_per_token unknown"] == (standing.missed["status"] - of.size) * -1
    )


def test_served_points_lie_apart_and_on_the_front():
    of = asked(served={"most": 7})
    rounds = Rounds(of)
    best = everywhere(of, rounds, "bound")
    rows = served(of, best, rounds)
    assert rows["point"].size == 7
    assert np.isin(rows["point"], best.point[best.front()]).all()
    few = np.flatnonzero(best.front())[:5]
    assert apart(best, few, 7).tolist() == few.tolist()


@pytest.mark.parametrize("method", ["nsga2", "tpe"])
def test_a_search_finds_most_of_the_front_with_few_questions(method):
    count = 600 if method == "nsga2" else 80
    of = asked(search={"method": method, "evaluations": count, "population": 40})
    rounds = Rounds(of)
    rows = search(of, rounds)
    assert rows["point"].size <= count
    assert np.unique(rows["point"]).size == rows["point"].size
    again = search(of, Rounds(of))
    assert again["point"].tolist() == rows["point"].tolist()
    found, whole = judged(of, rows), everywhere(of, rounds, "bound")
    values = found.values[found.front()]
    best = whole.values[whole.front()]
    near = (values[:, None] <= best[None] + 0.1 * np.abs(best[None])).all(-1).any(0)
    assert near.mean() > (0.8 if method == "nsga2" else 0.2)


def test_the_knee_lies_farthest_below_the_line_of_the_ends():
    of = asked(objectives={"minimise": ["tpot_s", "area_m2"]})
    standing = everywhere(of, Rounds(of), "bound")
    (knee,) = knees(standing)
    rows = np.flatnonzero(standing.front())
    values = np.log(standing.values[rows])  # both span more than a factor of ten
    low, spread = values.min(axis=0), np.ptp(values, axis=0)
    assert (np.exp(spread) > 10).all()
    sums = ((values - low) / spread).sum(axis=1)
    assert sums[rows.tolist().index(knee)] == pytest.approx(sums.min())
    assert sums.min() < 1


def test_effects_of_a_product_are_its_factors():
    """Logarithms of a product are sums: the shares are those of the terms, nothing interacts."""
    of = asked(objectives={"minimise": ["tpot_s"]}, axes={"batch": [1, 4, 16], "context": [1, 2]})
    rows = of.rows(np.arange(of.size))
    rows["tpot_s"] = np.asarray(rows["batch"], float) * np.asarray(rows["context"], float) ** 2
    batch, context = effects(of, rows)
    assert (batch.axis, context.axis) == ("batch", "context")
    parts = np.var(np.log([1, 4, 16])), np.var(np.log([1, 4]))
    for effect, part in zip((batch, context), parts, strict=True):
        assert effect.alone == pytest.approx(part / sum(parts))
        assert effect.whole == pytest.approx(effect.alone)
    assert (batch.best, batch.worst) == ("1", "16")
    assert batch.factor == pytest.approx(16)


def test_an_interaction_counts_whole_but_not_alone():
    of = asked(objectives={"minimise": ["tpot_s"]}, axes={"batch": [1, 2], "context": [1, 2]})
    rows = of.rows(np.arange(4)) | {"tpot_s": np.array([1.0, 2.0, 2.0, 1.0])}
    for effect in effects(of, rows):
        assert effect.alone == pytest.approx(0)
        assert effect.whole == pytest.approx(1)


def test_why_names_who_beats_a_point_and_what_each_step_does():
    of = asked()
    rounds = Rounds(of)
    whole = rounds.round("all", "all", np.arange(of.size), "bound")
    point = int(np.ravel_multi_index((0, 9, 39), of.shape))
    reasons = why(of, point, rounds.evaluate, whole)
    assert reasons.beaten_by
    mine = reasons.values
    for other in reasons.beaten_by:
        assert whole["tpot_s"][other] <= mine["tpot_s"]
        assert whole["area_m2"][other] <= mine["area_m2"]
    moved = {(step.axis, step.to): step for step in reasons.steps}
    assert set(moved) == {("batch", "8"), ("context", "9"), ("context", "11"), ("prompt", "39")}
    assert moved["context", "11"].values["tpot_s"] < mine["tpot_s"]
    assert reasons.estimate is None  # no model is named
    with pytest.raises(BadInput, match=r"must lie in 0\.\.3999"):
        why(of, of.size, rounds.evaluate)


def test_the_front_of_each_group_is_its_own():
    of = asked(by=["batch"])
    standing = everywhere(of, Rounds(of), "bound")
    assert standing.groups == ((1,), (8,))
    for number in range(2):
        rows = np.flatnonzero(standing.meets & (standing.group == number))
        wanted = standing.point[rows[front(standing.values[rows])]]
        got = standing.point[standing.front() & (standing.group == number)]
        assert got.tolist() == wanted.tolist()


def test_rounds_join_by_point():
    parts = [{"point": np.array([3, 9])}, {"point": np.array([1])}]
    assert joined(parts)["point"].tolist() == [1, 3, 9]


@pytest.mark.parametrize(
    "more",
    [
        {"goals": ["tpot_s > 9"]},
        {"goals": ["limiter != 'links'"]},
        {"goals": ["watts < 1.2"], "derived": {"watts": "60 / tpot_s - 0.1 * area_m2"}},
        {"goals": ["tpot_s < 30", "throughput_tokens_per_s > 0.1"]},
        {
            "derived": {"watts": "60 / tpot_s"},
            "objectives": {"minimise": ["watts", "area_m2"]},
            "axes": {"context": {"from": 1, "to": 50, "step": 7}, "prompt": [1, 9], "batch": [1]},
        },
    ],
)
def test_no_goal_and_no_objective_makes_a_front_proven_that_is_not(more):
    of = asked(**more)

    class Turned(Rounds):
        """Slower rows are limited by something else."""

        def evaluate(self, rows, slower=1.0):
            found = super().evaluate(rows, slower)
            late = np.broadcast_to(slower, rows["point"].shape) > 1.1
            found["limiter"] = np.where(late, "x", "links").astype(object)
            return found

    rounds = Turned(of)
    found = closer(of, floored(of, rounds), rounds)
    whole = everywhere(of, rounds, "tile")
    assert found.open == 0
    assert found.standing.point[found.standing.front()].tolist() == (
        whole.point[whole.front()].tolist()
    )


def test_points_of_a_processor_with_pim_are_ruled_out_by_nothing():
    tables = {"batch": [1, 8], "context": [1, 2, 3], "prompt": [1, 9], "device": ["duplex", "l4"]}
    of = asked(axes=tables)
    rows = of.rows(np.arange(of.size))

    class Fast(Rounds):
        """PIM runs ten times faster than its bound."""

        def evaluate(self, rows, slower=1.0):
            pim = (rows["device"] == "duplex") & (np.ndim(slower) > 0)
            factor: Any = np.where(pim, 0.1, slower)
            return super().evaluate(rows, factor)

    rounds = Fast(of)
    found = closer(of, floored(of, rounds), rounds)
    assert set(rows["point"][rows["device"] == "duplex"]) <= set(found.standing.point)
    assert found.open == found.faster == 0
    whole = everywhere(of, rounds, "cycle")
    assert found.standing.point[found.standing.front()].tolist() == (
        whole.point[whole.front()].tolist()
    )


def test_a_goal_never_holds_on_what_is_unknown():
    of = asked(goals=["not energy_j_per_token > 3"])
    standing = everywhere(of, Rounds(of), "bound")
    assert not standing.meets.any()


def test_groups_are_those_that_there_are():
    of = asked(by=["context", "prompt"])
    rows = of.rows(np.array([0, 41, 41, 3999]))
    group, groups = grouped(of, rows)
    assert groups == ((1, 1), (2, 2), (50, 40))
    assert group.tolist() == [0, 1, 1, 2]


def ways_of(**derived):
    """How derived results move as a step takes longer."""
    names = list(derived)
    known = ways(asked(derived=derived, objectives={"minimise": ["tpot_s", *names]}))
    return [known[name].way for name in names]


def test_what_grows_and_what_falls_as_a_step_takes_longer():
    assert ways_of(a="tpot_s + ttft_s * 2", b="power_w / throughput_tokens_per_s") == ["grows"] * 2
    assert ways_of(a="1 / tpot_s", b="-tpot_s", c="area_m2 - ttft_s") == ["falls"] * 3
    assert ways_of(a="tpot_s * throughput_tokens_per_s", b="spare_bytes * tpot_s") == ["either"] * 2
    assert ways_of(a="energy_j_per_token", b="tpot_s if limiter == 'x' else 1") == ["either"] * 2
    assert ways_of(a="max(area_m2, 3) ** 2", b="batch * devices") == ["stays"] * 2
