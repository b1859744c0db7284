"""The report of a sweep: the same bytes each time, small for many points, honest about proofs."""

import numpy as np

from moesaic.sweeps.chapters.design import sections
from moesaic.sweeps.design.ladder import closer
from moesaic.sweeps.design.outcome import contests, outcome
from moesaic.sweeps.design.results import RESULTS
from moesaic.sweeps.design.space import space
from moesaic.sweeps.design.standing import judged
from moesaic.sweeps.report import write

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
        parts = closer(of, judged(of, made.read("bound", None)), made).rows
        made.stages["finer"] = parts
    if of.file.served is not None:
        made.round("served", "", np.array([3, 7]), "served")
    return outcome(of, made)


TOLD = {"moesaic": "0", "content": "abc", "seed": "0"}


def test_a_report_is_the_same_bytes_each_time(tmp_path):
    of = asked(finer={"most": 20_000}, served={"most": 2})
    for name in ("a", "b"):
        write(tmp_path / name, of.title, list(sections(found(of), TOLD)))
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert files == sorted([
        "index.html", "report.md", "results.json", "front.png", "winners.png", "knobs.png",
        "closer.png",
    ])  # fmt: skip
    for name in files:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    page = (tmp_path / "a" / "index.html").read_text()
    assert "<b>" not in page.split("<body>")[1]
    assert "which is enough" in page
    assert page.count("<svg") == 4


def test_a_hundred_thousand_points_make_a_small_page(tmp_path):
    of = asked(contexts=371, goals=[])
    assert of.size > 100_000
    page = write(tmp_path / "r", of.title, list(sections(found(of), TOLD)))
    assert page.stat().st_size < 3e6


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
