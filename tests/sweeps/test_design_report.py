"""The report of a sweep: the same bytes each time, small for many points, honest about proofs."""

import itertools
import re
from typing import Any

import numpy as np
import pytest
from matplotlib.text import Text

from moesaic.sweeps.chapters.design import sections
from moesaic.sweeps.design.ladder import closer, floor
from moesaic.sweeps.design.outcome import contests, outcome
from moesaic.sweeps.design.results import RESULTS
from moesaic.sweeps.design.space import space
from moesaic.sweeps.design.told import mixed, shown
from moesaic.sweeps.plots.design import front_of, parallel
from moesaic.sweeps.plots.style import save, svg
from moesaic.sweeps.report import html, markdown, results, write

MACHINES = [
    {"device": name, "count": count} for name, count in (("gpu", 1), ("pim", 2), ("$<b>", 4))
]


def asked(contexts=40, **more):
    tables = {
        "title": "Made up <b>machines</b>",
        "by": ["batch"],
        "goals": ["tpot_s < 90"],
        "axes": {
            "batch": [1, 8, 64],
            "context": {"from": 1, "to": contexts, "step": 1},
            "prompt": {"from": 1, "to": 30, "step": 1},
            "machine": MACHINES,
        },
        "derived": {"price": "area_m2 * 3"},
        "objectives": {"minimise": ["tpot_s", "price"], "maximise": ["throughput_tokens_per_s"]},
    }
    return space(tables | more)


class Made:
    """Rows by a line of arithmetic, in the place of a run's files."""

    def __init__(self, of):
        self.of, self.stages = of, {}
        self.stages["bound"] = self.round("bound", "", np.arange(of.size), "bound")

    def round(self, stage, name, points, detail):
        rows = self.of.select(points)
        batch, a, b, count = (
            np.asarray(rows[n], float) for n in ("batch", "context", "prompt", "count")
        )
        time = batch**0.5 * (50 / a + (b - 20) ** 2 / 400 + 1) / count**0.5
        time = time * (1 if detail == "bound" else 1.0 + rows["point"] % 7 / 20)
        unknown = np.full(batch.size, np.nan)
        found = {n: unknown for n, one in RESULTS.items() if one.kind == "number"}
        rows |= found | {
            "tpot_s": time,
            "area_m2": a * count + b / 8,
            "throughput_tokens_per_s": batch / time,
            "limiter": np.full(batch.size, "links", object),
            "detail": np.full(batch.size, detail, object),
            "status": np.where(a + b > 60, "does not fit", "ok").astype(object),
        }
        self.stages[stage] = rows
        return rows

    def read(self, stage, names, points=None):
        rows = self.stages.get(stage, {})
        keep = slice(None) if points is None else np.isin(rows["point"], points)
        return {name: rows[name][keep] for name in (rows if names is None else names)}


def found(of):
    made = Made(of)
    if of.file.finer is not None:
        parts = closer(of, floor(of, made.read("bound", None)), made).rows
        made.stages["finer"] = parts
    if of.file.served is not None:
        made.round("served", "", np.array([3, 7]), "served")
    return outcome(of, made)


TOLD = {"moesaic": "0", "content": "abc", "seed": "0"}


def test_a_report_is_the_same_bytes_each_time(tmp_path):
    axes = {
        "batch": [1, 8],
        "context": [1, 3, 8],
        "prompt": {"from": 1, "to": 30, "step": 1},
        "machine": MACHINES,
    }
    of = asked(axes=axes, finer={"most": 20_000}, served={"most": 2})
    one, other = (list(sections(found(of), TOLD)) for _ in range(2))
    page = html(of.title, one)
    assert page == html(of.title, other)
    assert markdown(of.title, one) == markdown(of.title, other)
    assert results(one) == results(other)
    for name, told in (("a.png", one), ("b.png", other)):
        (knobs,) = [section.figure for section in told if section.name == "knobs"]
        save(knobs, tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert "<b>" not in page.split("<body>")[1]
    assert "which is enough" in page
    assert page.count("<svg") == 4


@pytest.mark.slow
def test_every_file_of_a_larger_report_is_the_same_bytes_each_time(tmp_path):
    of = asked(contexts=8, finer={"most": 20_000}, served={"most": 2})
    for name in ("a", "b"):
        write(tmp_path / name, of.title, list(sections(found(of), TOLD)))
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert files == sorted([
        "index.html", "report.md", "results.json", "front.png", "winners.png", "knobs.png",
        "designs.png",
    ])  # fmt: skip
    for name in files:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_hundred_thousand_points_make_a_small_page():
    of = asked(contexts=371, goals=[])
    assert of.size > 100_000
    page = html(of.title, list(sections(found(of), TOLD)))
    assert len(page.encode()) < 3e6


def test_a_front_that_is_not_proven_is_called_so():
    of = asked(finer={"most": 20})
    (text,) = [" ".join(one.words) for one in sections(found(of), TOLD) if one.name == "front"]
    assert "not proven" in text


def test_goals_that_nothing_meets_are_told_one_by_one():
    (only,) = sections(found(asked(goals=["tpot_s < 0.001", "devices < 2"])), TOLD)
    text = " ".join(only.words)
    assert "No point meets every goal" in text
    assert "tpot_s < 0.001 leaves 0" in text
    assert "devices < 2 leaves 0" in text


def test_the_winner_of_a_group_is_the_best_of_its_rows():
    result = found(asked())
    rows, standing = result.rows, result.standing
    for one in contests(result):
        group = standing.meets & (rows["batch"] == one.group[0])
        values = rows[one.objective]
        best = max if one.objective.startswith("throughput") else min
        for name, value in one.best.items():
            assert value == best(values[group & (rows["machine"] == name)])
        assert next(iter(one.best.values())) == best(one.best.values())


def test_a_space_without_texts_or_groups_has_a_report_too(tmp_path):
    of = space(
        {
            "title": "bare",
            "axes": {"batch": [1, 2], "context": [1, 2, 3], "prompt": [1], "count": [1]},
            "objectives": {"minimise": ["tpot_s"]},
        }
    )
    result = found(of)
    assert [one.name for one in sections(result, TOLD)] == ["space", "front", "knobs"]
    write(tmp_path / "r", of.title, list(sections(result, TOLD)))


def test_the_hypervolume_of_a_front_is_a_share_of_its_box():
    volume = found(asked()).volume()
    assert volume is not None
    assert 0 < volume <= 1


def test_bounds_beside_simulated_numbers_are_told_in_words_and_by_row():
    of = asked(finer={"most": 20_000}, goals=[])
    made = Made(of)
    made.stages["finer"] = closer(of, floor(of, made.read("bound", None)), made).rows
    rows = made.stages["finer"]
    rows["detail"] = np.where(rows["machine"] == "gpu", "tile", "bound").astype(object)
    result = outcome(of, made)
    bounds = int((result.front["detail"] == "bound").sum())
    assert 0 < bounds < result.front["point"].size
    assert f"{bounds} of {result.front['point'].size} designs are bounds" in mixed(result)
    (section,) = [one for one in sections(result, TOLD) if one.name == "front"]
    assert mixed(result) in section.words
    assert section.evidence == ("simulated", "bound")
    at = section.tables[0].columns.index("detail")
    told = [row[at] for row in section.tables[0].rows]
    assert set(told) == {"△ tile", "▽ bound"}
    rows["detail"] = np.full(rows["point"].size, "tile", object)
    assert mixed(outcome(of, made)) == ""


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("tpot_s", 0.01234, "12.34 ms"),
        ("cost_usd_per_token", 1.25e-6, "1.25 USD/Mtoken"),
        ("price_usd_per_hour", 23456.0, "2.346e+04 USD/h"),
        ("area_m2", 8.14e-4, "814 mm2"),
        ("wall_j_per_token", 0.25, "250 mJ/token"),
        ("flops_per_s", 1e13, "10 TFLOP/s"),
        ("tokens_per_s", 3000.0, "3 ktoken/s"),
        ("system.device.memory.bandwidth_bytes_per_s", 4.8e12, "4.8 TB/s"),
        ("times:system.device.peak_flops_per_s", 0.5, "0.5"),
        ("context", np.int64(4096), "4096"),
        ("share", 0.0625, "0.0625"),
        ("energy_j_per_token", float("nan"), "-"),
        ("machine", "x" * 70, "x" * 57 + "..."),
    ],
)
def test_values_are_printed_with_the_units_that_people_use(name, value, text):
    assert shown(name, value) == text


def flat(labels=1, objectives=2, groups=1, value=None, points=6):
    """What was found of a space whose results are made up: `value` of each point's number, or a
    spread."""
    names = ["tpot_s", "energy_j_per_token", "area_m2", "cost_usd_per_token", "power_w", "ttft_s"]
    tables = {
        "title": "flat",
        "by": ["batch"] if groups > 1 else [],
        "fixed": {"prompt": 1, "count": 1},
        "axes": {
            "batch": list(range(1, groups + 1)),
            "context": list(range(1, points + 1)),
            "machine": [{"name": f"machine {i}", "device": f"d{i}"} for i in range(labels)],
        },
        "objectives": {"minimise": names[:objectives]},
    }
    of = space(tables)
    made = Made(of)
    rows = made.stages["bound"]
    rows["status"][:] = "ok"
    for k, name in enumerate(names):
        number = rows["point"].astype(float) + 1
        spread = number if k % 2 else rows["point"].size + 1 - number
        rows[name] = spread * 1e-3 if value is None else np.array([value(x) for x in number])
    return outcome(of, made)


SHAPES: dict[str, dict[str, Any]] = {
    "one point": {"points": 1},
    "one objective": {"objectives": 1},
    "one objective, one value": {"objectives": 1, "value": lambda _: 2.0},
    "six objectives, twelve labels": {"objectives": 6, "labels": 12, "points": 2},
    "twenty labels": {"labels": 20},
    "many groups": {"groups": 30, "labels": 2},
    "a few groups": {"groups": 5, "labels": 3, "objectives": 3},
    "all equal": {"value": lambda _: 1e-3},
    "all zero": {"value": lambda _: 0.0},
    "negative": {"value": lambda x: -(10.0**x)},
    "around zero": {"value": lambda x: x - 3.0},
    "minute": {"value": lambda x: 1e-300 * x},
    "vast": {"value": lambda x: 1e300 * x},
    "many decades": {"value": lambda x: 10.0 ** (3 * x - 9)},
}


@pytest.mark.parametrize(
    "saved", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["drawn", "saved"]
)
@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_of_front_can_be_drawn(shape, saved):
    drawn = [one.figure for one in sections(flat(**SHAPES[shape]), TOLD) if one.figure is not None]
    assert drawn
    for figure in drawn:
        if saved:
            assert svg(figure).startswith("<svg")
        else:
            figure.draw_without_rendering()
        texts = [text.get_text() for text in figure.findobj(Text)]
        assert not [text for text in texts if re.fullmatch("-?(nan|inf).*", text)]
        for axes in figure.axes:
            if axes.get_visible():
                assert np.isfinite([*axes.get_xlim(), *axes.get_ylim()]).all()


def panels(figure):
    return [axes for axes in figure.axes if axes.get_visible()]


def test_a_front_has_a_panel_for_each_objective_after_the_first():
    assert [len(panels(front_of(flat(objectives=n)))) for n in range(1, 7)] == [1, 1, 2, 3, 4, 5]


def test_many_labels_leave_the_rarest_to_one_name():
    (legend,) = front_of(flat(labels=12)).legends
    assert len(legend.get_texts()) == 13  # and the knee
    (legend,) = front_of(flat(labels=20, groups=20)).legends
    assert "others" in [text.get_text() for text in legend.get_texts()]
    assert len(legend.get_texts()) == 13


def test_ticks_do_not_run_into_each_other():
    figure = front_of(flat(objectives=4, value=lambda x: 10.0**x))
    svg(figure)  # lays it out
    for axes in panels(figure):
        low, high = axes.get_xlim()
        boxes = [
            label.get_window_extent()
            for at, label in zip(axes.get_xticks(), axes.get_xticklabels(), strict=True)
            if low <= at <= high
        ]
        assert len(boxes) > 1
        for left, right in itertools.pairwise(boxes):
            assert left.x1 < right.x0


def test_bounds_among_simulated_dots_are_hollow():
    result = flat(labels=2)
    assert "hollow: the bound" not in legend_of(front_of(result))
    result.front["detail"][:1] = "tile"
    assert "hollow: the bound" in legend_of(front_of(result))


def legend_of(figure):
    (legend,) = figure.legends
    return [text.get_text() for text in legend.get_texts()]


def test_who_wins_is_drawn_against_numbers_only():
    of = asked(by=["machine"])
    drawn = {one.name: one.figure for one in sections(found(of), TOLD)}
    assert drawn["winners"] is None
    assert "winners" not in {one.name for one in sections(flat(labels=3), TOLD)}


def test_parallel_coordinates_show_what_differs_and_stay_narrow():
    result = found(asked())
    (axes,) = parallel(result).axes
    names = [label.get_text().replace("\n", "") for label in axes.get_xticklabels()]
    told = ["batch", "context", "prompt", "machine", "tpot_s", "price", "throughput_tokens_per_s"]
    assert names == [name for name in told if np.unique(result.front[name]).size > 1]
    wide = parallel(flat(objectives=6, groups=5))
    assert wide.get_figwidth() <= 12.4
