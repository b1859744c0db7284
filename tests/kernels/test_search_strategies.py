"""Strategies: what each asks for, that it asks again the same, and that it does not ask in vain."""

from typing import Any

import numpy as np
import pytest

from moesaic.base import BadInput
from moesaic.kernels.search import STRATEGIES, Question, Space, Teacher, strategy_named
from moesaic.kernels.search.tune import unique


def space_of(x=(1, 2, 4, 8, 16), y=(1, 2, 4, 8), z=(0, 1)):
    return Space.of(
        "toy", ({"x": a, "y": b, "z": c} for a in x for b in y for c in z if a * b < 64)
    )


def seconds_of(space, best=(4, 2, 1), size=1.0):
    """Slower by a factor for each step away from the best."""
    configs = [space.config(row) for row in range(len(space))]
    steps = [
        abs(np.log2(c["x"] / best[0])) + abs(np.log2(c["y"] / best[1])) + (c["z"] != best[2])
        for c in configs
    ]
    return size * 1.3 ** np.array(steps)


def asked(name, question, seconds):
    """The rows in order, repeats left out."""
    search = unique(strategy_named(name)(question), question.budget)
    rows = []
    row = next(search, None)
    while row is not None:
        rows.append(row)
        try:
            row = search.send(seconds[row])
        except StopIteration:
            break
    return rows


SPACE = space_of()
SECONDS = seconds_of(SPACE)
TEACHER = Teacher(name="other", space=SPACE, seconds=seconds_of(SPACE, best=(8, 2, 1), size=3.0))
KNOWING: dict[str, dict[str, Any]] = {
    "transfer": {"teachers": (TEACHER,)},
    "model": {"predicted": TEACHER.seconds},
}


def question(name="random", budget=20, seed=0, **given):
    return Question(space=SPACE, budget=budget, seed=seed, **{**KNOWING.get(name, {}), **given})


@pytest.fixture(params=sorted(STRATEGIES))
def name(request):
    if request.param == "bo":
        pytest.importorskip("optuna", reason="needs optuna: pip install 'moesaic[tune]'")
    return request.param


def test_the_same_answers_give_the_same_questions(name):
    first = asked(name, question(name), SECONDS)
    assert first == asked(name, question(name), SECONDS)
    assert len(first) == 20


def test_the_whole_space_is_asked_for_where_the_budget_allows(name):
    few = space_of(x=(1, 2), y=(1, 2), z=(0, 1))
    seconds = seconds_of(few)
    known = {"teachers": (Teacher(name="t", space=few, seconds=seconds),), "predicted": seconds}
    rows = asked(name, Question(space=few, budget=100, seed=1, **known), seconds)
    assert sorted(rows) == list(range(len(few)))


def test_failures_do_not_end_a_search(name):
    failing = SECONDS.copy()
    failing[::2] = np.inf
    assert len(asked(name, question(name), failing)) == 20
    assert len(asked(name, question(name), np.full(len(SPACE), np.inf))) == 20


@pytest.mark.parametrize("name", ["random", "ga", "guided"])
def test_seeds_differ(name):
    assert asked(name, question(seed=0), SECONDS) != asked(name, question(seed=1), SECONDS)


@pytest.mark.parametrize(("name", "most"), [("guided", 15), ("ga", 30)])
def test_a_search_finds_the_best_of_a_smooth_space_before_chance_does(name, most):
    found = [asked(name, question(name, 36, s), SECONDS).index(SECONDS.argmin()) for s in range(5)]
    assert np.median(found) < most


def test_transfer_asks_in_the_order_of_the_first_teacher():
    rows = asked("transfer", question("transfer", len(SPACE)), SECONDS)
    assert (np.diff(TEACHER.seconds[rows]) >= 0).all()


def test_what_the_first_teacher_does_not_know_follows_in_the_order_of_the_next():
    unsure = TEACHER.seconds.copy()
    unsure[:10] = np.nan
    teachers = (Teacher(name="unsure", space=SPACE, seconds=unsure), TEACHER)
    rows = asked("transfer", question(budget=len(SPACE), teachers=teachers), SECONDS)
    assert sorted(rows[-10:]) == list(range(10))
    assert (np.diff(TEACHER.seconds[rows[-10:]]) >= 0).all()


@pytest.mark.parametrize(("name", "words"), [("transfer", "teachers"), ("model", "prediction")])
def test_a_ranking_needs_what_it_ranks_by(name, words):
    with pytest.raises(BadInput, match=words):
        next(strategy_named(name)(Question(space=SPACE, budget=5, seed=0)))


def test_guided_measures_first_what_its_teacher_found_fastest():
    assert asked("guided", question(teachers=(TEACHER,)), SECONDS)[0] == TEACHER.seconds.argmin()


def test_guided_with_a_perfect_teacher_needs_one_evaluation():
    perfect = Teacher(name="same", space=SPACE, seconds=7 * SECONDS)
    assert asked("guided", question(teachers=(perfect,)), SECONDS)[0] == SECONDS.argmin()


def test_guided_leaves_a_teacher_that_is_wrong():
    wrong = Teacher(name="wrong", space=SPACE, seconds=1 / SECONDS)
    both = asked("guided", question(teachers=(wrong, TEACHER)), SECONDS)
    assert SECONDS.argmin() in both


def test_guided_takes_a_prediction_for_what_it_is():
    rows = asked("guided", question(predicted=TEACHER.seconds), SECONDS)
    assert rows[0] == TEACHER.seconds.argmin()
    assert SECONDS.argmin() in rows


def test_a_teacher_that_knows_a_part_of_the_space_is_of_use():
    part = space_of(x=(4, 8, 16))
    teachers = (Teacher(name="part", space=part, seconds=seconds_of(part)), TEACHER)
    rows = asked("guided", question(teachers=teachers), SECONDS)
    assert rows.index(SECONDS.argmin()) < 10


def test_a_teacher_of_another_kernel_is_refused():
    other = Space.of("other", [{"x": 1, "w": 2}])
    teacher = Teacher(name="stranger", space=other, seconds=np.ones(1))
    with pytest.raises(BadInput, match="another kernel"):
        next(strategy_named("guided")(question(teachers=(teacher,))))


def test_a_teacher_with_nothing_in_common_is_refused():
    far = Space.of("far", [{"x": 1024, "y": 1, "z": 0}])
    teacher = Teacher(name="far", space=far, seconds=np.ones(1))
    with pytest.raises(BadInput, match="in common"):
        next(strategy_named("guided")(question(teachers=(teacher,))))


def test_an_unknown_strategy_is_named_with_those_that_are():
    with pytest.raises(BadInput, match="guided"):
        strategy_named("gided")


def test_without_kernel_tuner_one_sentence_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "kernel_tuner.interface", None)
    with pytest.raises(BadInput, match="pip install kernel_tuner"):
        strategy_named("kt-diff_evo")


def test_without_optuna_one_sentence_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    with pytest.raises(BadInput, match="moesaic\\[tune\\]"):
        next(strategy_named("bo")(question()))


@pytest.mark.parametrize("theirs", ["random_sample", "genetic_algorithm", "diff_evo"])
def test_strategies_of_kernel_tuner_ask_like_any_other(theirs):
    pytest.importorskip("kernel_tuner", reason="needs Kernel Tuner: pip install kernel_tuner")
    wide = space_of(x=(1, 2, 4, 8, 16, 32), y=(1, 2, 4, 8, 16, 32), z=range(8))
    given = Question(space=wide, budget=20, seed=0)
    rows = asked(f"kt-{theirs}", given, seconds_of(wide))
    assert len(rows) == len(set(rows)) == 20
    if theirs != "diff_evo":  # it draws from a generator that cannot be seeded from outside
        assert rows == asked(f"kt-{theirs}", given, seconds_of(wide))
