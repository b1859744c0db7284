"""The spaces that ship: each can be asked, and answers what its title promises."""

from pathlib import Path

import numpy as np
import pytest

from moesaic.sweeps.design.conflicts import check_not_empty
from moesaic.sweeps.design.evaluate import evaluate
from moesaic.sweeps.design.explore import explore
from moesaic.sweeps.design.outcome import contests
from moesaic.sweeps.design.space import load, space
from moesaic.sweeps.design.standing import judged

EXAMPLES = Path(__file__).parents[2] / "examples"
SPACES = sorted(p for p in EXAMPLES.glob("*.toml") if "[objectives]" in p.read_text())


def test_five_spaces_ship():
    names = {"gpu-pim-fpga", "deepseek-cheapest", "ep64-interconnect", "granularity", "logic-pim"}
    assert names <= {path.stem for path in SPACES}


@pytest.mark.parametrize("points", [30, pytest.param(250, marks=pytest.mark.slow)])
@pytest.mark.parametrize("path", SPACES, ids=lambda path: path.stem)
def test_a_shipped_space_has_points_that_fit_and_a_front(path, points):
    of = load(path)
    check_not_empty(of)
    some = np.unique(np.linspace(0, of.size - 1, points).round().astype(np.int64))
    rows = of.select(some)
    rows |= evaluate(rows, here=of.here)
    standing = judged(of, rows)
    assert (rows["status"] == "ok").mean() > 0.4
    assert standing.front().any()


def tables(**more):
    """A small space of real machines, with a closer look."""
    return {
        "title": "small",
        "by": ["batch"],
        "fixed": {"model": "mixtral-8x7b", "context": 2048, "tp": 4, "link": "nvlink4", "count": 4},
        "axes": {
            "batch": [1, 64],
            "machine": [{"device": "h100-sxm"}, {"device": "h200-sxm"}, {"device": "v80"}],
            "weights": ["bf16", "int4"],
            "times:system.device.memory.bandwidth_bytes_per_s": [0.5, 0.7, 1.0],
        },
        "objectives": {"minimise": ["tpot_s", "times:system.device.memory.bandwidth_bytes_per_s"]},
        "finer": {"most": 40},
    } | more


def test_a_closer_look_says_how_close_it_was_row_by_row():
    found = explore(space(tables()))
    assert found.closer is not None
    assert found.closer.open == found.closer.faster == 0
    looked = dict(zip(found.closer.rows["machine"], found.closer.rows["detail"], strict=True))
    assert looked.get("h100-sxm") == "tile"
    assert looked.get("v80", "bound") == "bound"
    assert set(found.front["point"]) <= set(found.closer.rows["point"])


def test_more_bandwidth_never_makes_a_token_later():
    found = explore(space(tables(by=[])))
    rows = found.rows
    fits = rows["status"] == "ok"
    times = rows["tpot_s"].reshape(2, 3, 2, 3)[fits.reshape(2, 3, 2, 3).all(axis=-1)]
    assert len(times) > 3
    assert (np.diff(times, axis=-1) <= 0).all()


def test_who_wins_is_told_for_each_batch():
    found = explore(space(tables()))
    assert [one.group for one in contests(found) if one.objective == "tpot_s"] == [(1,), (64,)]


def test_a_goal_that_nothing_meets_leaves_an_empty_front_and_no_fault():
    found = explore(space(tables(goals=["tpot_s < 0.00001"])))
    assert found.closer is not None
    assert found.closer.rows["point"].size == found.front["point"].size == 0
    assert found.volume() is None
