"""Does a study run from file to report, alike each time, and is a bad one refused in a sentence?"""

import json
from pathlib import Path

import pytest

from moesaic.base import BadInput
from moesaic.base.spec import load
from moesaic.cli.app import main
from moesaic.sweeps.study import CHAPTERS, Study, run

ROOT = Path(__file__).parents[2]


def keep(study, *names):
    """Leaves only these chapters in the study's file."""
    head, *chapters = study.read_text().split("[[chapter]]")
    kept = [text for text in chapters if any(f'name = "{name}"' in text for name in names)]
    study.write_text("[[chapter]]".join([head, *kept]))


def test_the_shipped_study_parses_and_uses_every_kind_of_chapter():
    study = load(Study, ROOT / "examples" / "first_light.toml")
    assert {type(chapter) for chapter in study.chapter} == set(CHAPTERS)


@pytest.fixture(scope="module")
def made(tmp_path_factory, written_study):
    """The page of the small study, and the lines that it told while it ran."""
    folder = tmp_path_factory.mktemp("small")
    told: list[str] = []
    return run(written_study(folder), folder / "out", told.append), told


def test_a_small_study_runs_end_to_end(made):
    page, told = made
    names = ["machines", "roof", "timeline", "loads", "gemm"]
    files = {path.name for path in page.parent.iterdir()}
    assert files == {
        *(f"{name}.png" for name in names),
        "index.html",
        "report.md",
        "results.json",
        "loads.json",
        "loads.meta.json",
        "loads.proof.npz",
    }
    assert len(told) == 5
    assert told[-1].startswith("[5/5]")
    text = page.read_text()
    assert all(f'<section id="{name}">' in text for name in names)
    data = json.loads((page.parent / "results.json").read_text())
    assert list(data) == names
    first = data["machines"]["h100-sxm"]
    assert sum(first["why"].values()) == pytest.approx(first["seconds"])
    assert data["timeline"]["seconds"] <= data["timeline"]["one_after_the_other_s"] * (1 + 1e-9)
    assert data["gemm"][0]["band"] == "all"


def test_the_same_seed_gives_the_same_bytes(made, study, tmp_path):
    run(study, tmp_path / "again")
    for path in made[0].parent.iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes(), path.name


def test_the_placement_file_is_what_an_engine_loads(study, tmp_path):
    keep(study, "loads")
    run(study, tmp_path / "out")
    rows = json.loads((tmp_path / "out" / "loads.json").read_text())["physical_to_logical_map"]
    assert all(sorted(row) == list(range(16)) for row in rows)


def test_an_unequal_placement_is_shown_but_not_written(study, tmp_path):
    keep(study, "loads")
    study.write_text(study.read_text().replace("ranks = 4", "ranks = 5"))
    run(study, tmp_path / "out")
    assert not (tmp_path / "out" / "loads.json").exists()
    assert "No file for an engine" in (tmp_path / "out" / "report.md").read_text()


def test_paths_are_relative_to_the_study(study, tmp_path, monkeypatch):
    keep(study, "loads", "machines")
    trace = ROOT / "examples" / "data" / "tiny_mixtral_E16k2_seed0.npz"
    (tmp_path / "trace.npz").symlink_to(trace)
    machine = 'kind = "gpu"\nname = "mine"\n'
    (tmp_path / "machine.toml").write_text(machine)
    text = study.read_text().replace(str(trace), "trace.npz")
    study.write_text(text)
    monkeypatch.chdir(tmp_path.parent)
    run(study, tmp_path / "out")
    # The machine's file is found beside the study too: what is refused is what it holds.
    study.write_text(text.replace('on = "l40s"', 'on = "machine.toml"'))
    with pytest.raises(BadInput, match=r"machine\.toml.*vendor"):
        run(study, tmp_path / "other")


BAD = {
    "a path as a name": ('name = "roof"', 'name = "../roof"', "regex"),
    "an absolute name": ('name = "roof"', 'name = "/tmp/roof"', "regex"),
    "no name": ('name = "roof"', 'name = ""', "regex"),
    "a line end in a name": ('name = "roof"', 'name = "roof\\n"', "regex"),
    "a name of the report's own": ('name = "roof"', 'name = "Index"', "every report"),
    "a name twice": ('name = "roof"', 'name = "Machines"', "twice"),
    "an unknown kind": ('kind = "roof"', 'kind = "rooof"', "rooof"),
    "a kind that is a number": ('kind = "roof"', "kind = 7", "expected"),
    "a control character": ('title = "On the roof"', 'title = "On\\u001b[31m"', "regex"),
    "an unknown key": ("ranks = 4", "ranks = 4\nrank = 4", "rank"),
    "an unknown model": ('model = "olmoe-1b-7b"', 'model = "<b>"', "no model"),
    "an unknown machine": ('on = "l40s"', 'on = "l40x"', "did you mean"),
    "no machines": ('[{ on = "h100-sxm" }, { on = "l40s", label = "an L40S" }]', "[]", "length"),
    "too many": ("loads = [", "loads = [" + "{ batch = 1 }," * 100, "length"),
    "a huge number": ("batch = 8,", "batch = 9999999999999999999999,", "<="),
    "what does not fit": ("batch = 8,", "batch = 1000000000,", "too much"),
    "an infinite number": ("ranks = 4", "ranks = 4\ntime_limit_s = inf", "finite"),
    "a fraction": ("ranks = 4", "ranks = 4.5", "int"),
    "a wrong type": ("ranks = 4", 'ranks = "four"', "int"),
    "a negative seed": ("seed = 3", "seed = -3", ">= 0"),
    "a missing file": ("tiny_mixtral_E16k2_seed0", "nowhere", "no such file"),
    "no trace": ("tiny_mixtral_E16k2_seed0", "olmoe_repo_counts", "part"),
    "a method": ('"lpt"', '"best"', "no placement method"),
    "a table": ('on = "a100-80gb-sxm"', 'on = "../../etc/passwd"', "no system"),
    "no TOML": ("seed = 3", "seed = ", "TOML"),
    "a split": ("dp = 2, ep = 2", "dp = 2, ep = 3", "divide"),
}


@pytest.mark.parametrize("fault", BAD)
def test_a_bad_study_is_refused_in_a_sentence_and_leaves_nothing(study, tmp_path, capsys, fault):
    old, new, told = BAD[fault]
    assert old in study.read_text()
    study.write_text(study.read_text().replace(old, new))
    assert main(["run", str(study), "--out", str(tmp_path / "out")]) == 2
    shown = capsys.readouterr()
    last = shown.err.strip().splitlines()[-1]
    assert last.startswith("moesaic: ")
    assert told in last
    assert shown.out == ""
    assert [path.name for path in tmp_path.iterdir()] == ["study.toml"]


def test_a_failing_chapter_leaves_an_older_report_as_it_was(study, tmp_path):
    keep(study, "roof", "gemm")
    page = run(study, tmp_path / "out")
    before = {path.name: path.read_bytes() for path in page.parent.iterdir()}
    study.write_text(study.read_text().replace('what = "gemm"', 'what = "nothing"'))
    with pytest.raises(BadInput, match="chapter gemm"):
        run(study, tmp_path / "out")
    assert {path.name: path.read_bytes() for path in page.parent.iterdir()} == before


def test_hostile_names_reach_the_page_as_words(study, tmp_path):
    keep(study, "machines", "roof")
    hostile = "<script>alert(1)</script> $\\\\frac{$"
    text = study.read_text().replace('label = "an L40S"', f'label = "{hostile}"')
    study.write_text(text.replace('title = "On the roof"', f'title = "{hostile}"'))
    page = run(study, tmp_path / "out").read_text()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page
