"""Does a question see the rows of its run, all of them, and nothing else?"""

import json
import runpy
import shutil
from pathlib import Path

import duckdb
import numpy as np
import pytest

from moesaic.base import BadInput
from moesaic.base.parquet import metadata
from moesaic.sweeps.design import run as runs
from moesaic.sweeps.design.folder import create, opened
from moesaic.sweeps.design.found import Rows
from moesaic.sweeps.design.locks import Shard
from moesaic.sweeps.design.query import export, query

HELD = runpy.run_path(str(Path(__file__).with_name("sweep_stand_in.py")))
SPACE, StandIn, contents = HELD["SPACE"], HELD["StandIn"], HELD["contents"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    path = tmp_path_factory.mktemp("query")
    (path / "space.toml").write_text(SPACE)
    return path


@pytest.fixture(scope="module")
def folder(place):
    """A finished run."""
    made = create(place / "run", place / "space.toml")
    runs.run(made, evaluate=StandIn())
    return made.path


@pytest.fixture(scope="module")
def shards(place):
    """The first stage of the run by three shards, in a folder each."""
    chunk, runs.CHUNK["bound"] = runs.CHUNK["bound"], 100
    found = []
    for number in (1, 2, 3):
        made = create(place / f"shard{number}", place / "space.toml")
        runs.run(made, shard=Shard(number, 3), evaluate=StandIn())
        found.append(made.path)
    runs.CHUNK["bound"] = chunk
    return found


def only(folders, sql):
    """The one number that a question asks for."""
    ((value,),) = query(folders, sql).columns.values()
    return value


def test_the_views_are_the_stages_and_best_is_each_point_most_closely(folder):
    counts = {v: only([folder], f"SELECT count(*) FROM {v}") for v in ("points", "finer", "served")}
    assert counts["points"] > counts["finer"] > counts["served"] == 10
    assert only([folder], "SELECT count(*) FROM best") == counts["points"]
    stages = query([folder], "SELECT stage, count(*) AS n FROM best GROUP BY 1 ORDER BY 1").columns
    assert dict(zip(stages["stage"], stages["n"], strict=True)) == {
        "bound": counts["points"] - counts["finer"],
        "finer": counts["finer"] - counts["served"],
        "served": counts["served"],
    }


def test_a_question_gets_units_evidence_and_nan_where_nothing_is_known(folder):
    answer = query(
        [folder], "SELECT point, tpot_s, power_w, tpot_s * 2 AS twice FROM points ORDER BY 1"
    )
    assert np.isnan(answer.columns["power_w"]).all()
    assert (np.diff(answer.columns["point"]) > 0).all()
    assert answer.about["tpot_s"] == ("s", "bound")
    assert answer.about["power_w"] == ("W", "measured-published")
    assert answer.about["point"] == ("", "given")
    assert answer.about["twice"] == ("", "computed from bound")
    assert query([folder], "SELECT tpot_s FROM served").about["tpot_s"] == ("s", "simulated")
    assert query([folder], "FROM best").about["tpot_s"] == ("s", "bound or simulated")


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("SELECT batch AS x FROM points", ("request", "given")),
        ("SELECT tpot_s AS devices FROM points", ("s", "bound")),
        ("SELECT min(TPOT_S) AS least FROM points", ("s", "bound")),
        ("SELECT tpot_s * batch AS tpot_s FROM points", ("", "computed from bound")),
        (
            "SELECT tpot_s + power_w AS x FROM points",
            ("", "computed from bound or measured-published"),
        ),
        ("SELECT least FROM (SELECT max(tpot_s) AS least FROM points)", ("s", "bound")),
        ("SELECT stage AS x FROM best", ("", "given")),
        ("SELECT p.tpot_s FROM POINTS p JOIN served USING (point)", ("s", "bound or simulated")),
        ("SELECT * FROM (SELECT batch AS tpot_s FROM points)", ("", "")),
        ("SELECT * REPLACE (batch AS tpot_s) FROM points", ("", "")),
        ("SELECT * RENAME (batch AS other) FROM points", ("", "")),
        ("WITH t(devices) AS (SELECT tpot_s FROM points) SELECT devices FROM t", ("", "")),
        ("SELECT devices FROM query('SELECT tpot_s AS devices FROM points')", ("", "")),
        ("SELECT tpot_s FROM points UNION SELECT batch FROM points", ("", "")),
        ("SELECT count(*) AS devices FROM points", ("", "")),
        ("SELECT 1 AS power_w FROM points", ("", "")),
    ],
)
def test_a_column_carries_the_evidence_of_what_it_is_computed_from_not_of_its_name(
    folder, asked, expected
):
    about = query([folder], asked).about
    assert about.get("tpot_s", [*about.values()][-1]) == expected


def test_one_question_to_several_shards_is_that_to_the_whole_run(folder, shards):
    asked = "SELECT point, tpot_s FROM points ORDER BY point"
    whole, split = query([folder], asked).columns, query(shards, asked).columns
    for name in whole:
        np.testing.assert_array_equal(whole[name], split[name])
    assert only(shards[:1], "SELECT count(*) FROM points") < whole["point"].size


def test_what_two_folders_hold_is_read_once(folder, shards):
    count = "SELECT count(*) FROM points"
    assert only([*shards, *shards], count) == only([folder], count)


def test_folders_of_two_runs_are_not_asked_together(folder, place):
    other = create(place / "other", place / "space.toml", seed=9)
    with pytest.raises(BadInput, match="holds another run than"):
        query([folder, other.path], "FROM points")


def test_a_run_without_a_finished_row_says_so(place):
    empty = create(place / "empty", place / "space.toml")
    with pytest.raises(BadInput, match="no finished rows yet; `moesaic sweep resume`"):
        query([empty.path], "FROM points")


def test_an_export_is_the_answer_with_its_units(folder, tmp_path):
    asked = "SELECT point, tpot_s, status FROM best ORDER BY tpot_s, point LIMIT 7 -- the fastest"
    expected = query([folder], asked).columns
    for name in ("a.parquet", "a.csv"):
        assert export([folder], asked, tmp_path / name) == 7
        with duckdb.connect() as connection:
            found = connection.execute(f"SELECT * FROM '{tmp_path / name}'").fetchnumpy()
        assert list(found) == list(expected)
        np.testing.assert_array_equal(found["tpot_s"], expected["tpot_s"])
    told = metadata(tmp_path / "a.parquet")
    assert (told["unit.tpot_s"], told["evidence.tpot_s"]) == ("s", "bound or simulated")
    beside = json.loads((tmp_path / "a.csv.columns.json").read_text())
    assert beside["tpot_s"] == {"unit": "s", "evidence": "bound or simulated"}


def test_a_question_that_fails_leaves_no_file(folder, tmp_path):
    with pytest.raises(BadInput):
        export([folder], "SELECT tpot FROM points", tmp_path / "a.csv")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ("SELECT tpot FROM points", r"no column is called 'tpot'; did you mean tpot_s"),
        ("SELECT p.tpt_s FROM points p", r"no column is called 'tpt_s'; did you mean tpot_s"),
        ("SELECT * FROM pionts", r"no table is called 'pionts'; did you mean points"),
        ("SELECT on FROM points", r'write the column as "on"'),
        ("SELECT system.power_w FROM points", r"a path between double quotes"),
        ("SELECT system.device.memory.a FROM points", r"a path between double quotes"),
        ("FROM points ORDER BY model.experts.shared.x", r"a path between double quotes"),
        ("SELEC 1", r'syntax error at or near "SELEC"$'),
        ("", "must be one SELECT"),
        ("SELECT 1; SELECT 2", "must be one SELECT"),
        ("SELECT 1" + " " * 100_000, "longer than"),
        ("SELECT chr(0) || '\x00' FROM", "SQL: "),
    ],
)
def test_a_fault_in_the_question_is_one_sentence(folder, asked, why):
    with pytest.raises(BadInput, match=why) as caught:
        query([folder], asked)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "asked",
    [
        "SELECT * FROM read_text('{secret}')",
        "SELECT * FROM '{secret}'",
        "SELECT * FROM glob('{secret}*')",
        "SELECT * FROM read_blob('../{secret}')",
        "SELECT * FROM query('SELECT * FROM read_text(''{secret}'')')",
        "COPY points TO '{secret}'",
        "COPY (FROM points) TO '{own}'",
        "ATTACH '{secret}' AS other",
        "INSTALL httpfs",
        "SET enable_external_access = true",
        "PRAGMA database_list",
        "CREATE TABLE other AS FROM points",
        "SELECT 1) TO '{secret}' (FORMAT csv); --",
        "SELECT * FROM folders",
    ],
)
def test_a_question_reads_its_run_only_and_writes_nothing(folder, tmp_path, asked):
    secret = tmp_path / "secret.csv"
    secret.write_text("word\nhush")
    before = contents(folder)
    own = folder / "bound" / "all-000000.parquet"
    asked = asked.format(secret=secret, own=own)
    with pytest.raises(BadInput):
        query([folder], asked)
    with pytest.raises(BadInput):
        export([folder], asked, tmp_path / "out.csv")
    assert contents(folder) == before
    assert [path.name for path in tmp_path.iterdir()] == ["secret.csv"]
    assert secret.read_text() == "word\nhush"


@pytest.mark.parametrize("name", ["batch=7", "batch=7/tpot_s=1/deep"])
def test_the_name_of_a_folder_is_no_column(folder, tmp_path, name):
    copy = tmp_path / name
    shutil.copytree(folder, copy)
    asked = "SELECT DISTINCT batch, tpot_s FROM points ORDER BY ALL"
    there, here = query([copy], asked).columns, query([folder], asked).columns
    np.testing.assert_array_equal(there["batch"], here["batch"])
    np.testing.assert_array_equal(there["tpot_s"], here["tpot_s"])
    rows = Rows(opened(copy)).read("bound", ("batch",))
    assert np.unique(rows["batch"]).size == 40


@pytest.fixture(scope="module")
def foreign(place):
    """A file of the same space's run with another seed."""
    made = create(place / "foreign", place / "space.toml", seed=4)
    runs.run(made, evaluate=StandIn(), asks=lambda _, asks: asks.every())
    return made.path / "bound" / "all-000000.parquet"


@pytest.mark.parametrize("name", ["all-000000", "all-000009"])
def test_a_file_of_another_run_is_named_and_not_counted(folder, foreign, tmp_path, name):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    shutil.copy(foreign, copy / "bound" / f"{name}.parquet")
    said = rf"bound/{name}\.parquet: is a file of another run, or of none; move it out of the"
    for asked in (
        lambda: query([copy], "FROM points"),
        lambda: Rows(opened(copy)).read("bound", ("point",)),
    ):
        with pytest.raises(BadInput, match=said):
            asked()


def test_a_run_computes_foreign_files_of_its_names_anew_and_tells_of_others(
    folder, foreign, tmp_path
):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    shutil.copy(foreign, copy / "bound" / "all-000000.parquet")
    assert runs.run(opened(copy), evaluate=StandIn())
    assert contents(copy) == contents(folder)
    shutil.copy(foreign, copy / "bound" / "all-000009.parquet")
    with pytest.raises(BadInput, match=r"all-000009\.parquet: is a file of another run"):
        runs.run(opened(copy), evaluate=StandIn())


def test_a_copy_of_a_run_s_own_file_and_a_table_of_ones_own_are_not_counted(folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    again = copy / "bound" / "again.parquet"
    shutil.copy(copy / "bound" / "all-000000.parquet", again)
    with pytest.raises(BadInput, match=r"again\.parquet: is a file of another part of this run"):
        query([copy], "FROM points")
    export([folder], "FROM points LIMIT 1", tmp_path / "mine.parquet")
    shutil.move(tmp_path / "mine.parquet", again)
    with pytest.raises(BadInput, match=r"again\.parquet: is a file of another run, or of none"):
        query([copy], "FROM points")


def test_a_damaged_file_is_told_with_what_to_do(folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    path = next((copy / "bound").glob("*.parquet"))
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(BadInput, match=r"damaged file.*`moesaic sweep resume` computes it anew"):
        query([copy], "FROM points")
