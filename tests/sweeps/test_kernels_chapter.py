"""The chapter on kernels: what was built and executed is what it shows, and what it cannot show it
says."""

import re
from pathlib import Path

import msgspec
import numpy as np
import pytest

from moesaic.base import BadInput
from moesaic.kernels import check, explain, kernel, target
from moesaic.kernels.compiled import NoCompiler
from moesaic.sweeps.chapters import kernels as chapter
from moesaic.sweeps.chapters.kernels import COLUMNS, Executed, executed
from moesaic.sweeps.plots.kernels import CLASSES, instructions_and_bytes


def asked(*names, arches=("sm_80",)):
    return Executed(name="kernel", title="Kernels", kernels=names, arches=arches)


@pytest.fixture
def compiler():
    pytest.importorskip("cupy", reason="needs cupy and NVRTC: pip install 'moesaic[gpu]'")


@pytest.mark.usefixtures("compiler")
def test_every_configuration_has_a_row_with_its_verdict_and_what_it_did():
    section = executed(asked("offsets/8-experts", "combine/top2-*", arches=("sm_80", "sm_90a")), 0)
    rows = [dict(zip(COLUMNS, row, strict=True)) for row in section.tables[0].rows]
    assert len(rows) == len(section.data) == 2 * 4
    assert {row["on"] for row in rows} == {"sm_80", "sm_90a"}
    assert all(row["verdict"] == "right" for row in rows)
    assert all(float(row["error / bound"]) <= 1 for row in rows)
    assert "8 of 8 are right, in 40 launches." in section.words
    assert section.evidence == ("measured-here", "bound", "simulated")
    assert [row[0] for row in section.tables[1].rows] == ["offsets", "combine"]
    one = explain(target(kernel("offsets"), "8-experts", "sm_80"))
    assert section.data[0]["mix"] == one.counters.mix
    assert rows[0]["registers"] == str(one.build.resources.registers)
    least = one.loads.least + one.stores.least
    assert rows[0]["sectors / least"] == f"{(one.loads.moved + one.stores.moved) / least:.2f}"


@pytest.mark.usefixtures("compiler")
def test_the_plot_holds_the_counted_instructions_and_bytes():
    found = [explain(target(kernel("decode"), name, "sm_80")) for name in ("down-1", "down-8")]
    left, right = instructions_and_bytes(found).axes
    widths = np.array([[bar.get_width() for bar in bars] for bars in left.containers])
    np.testing.assert_allclose(widths.sum(axis=0), 100)
    floats = [100 * one.counters.mix["float"] / one.counters.instructions for one in found]
    np.testing.assert_allclose(widths[list(CLASSES).index("float")], floats)
    loads, stores = (np.asarray(dots.get_offsets())[:, 0] for dots in right.collections)
    np.testing.assert_allclose(loads, [one.loads.moved / one.loads.least for one in found])
    np.testing.assert_allclose(stores, [one.stores.moved / one.stores.least for one in found])


def test_the_plot_leaves_no_class_of_instructions_out():
    source = (Path(__file__).parents[2] / "csrc" / "ptx" / "program.hpp").read_text()
    known = re.findall(r'"([^"]+)"', source.split("KINDS[] =")[1].split(";")[0])
    shown = [kind for kinds in CLASSES.values() for kind in kinds]
    assert sorted(shown) == sorted(known)


@pytest.mark.usefixtures("compiler")
def test_what_is_not_right_is_said_in_words(monkeypatch):
    def wrong(one, seed):
        found = check(one, seed)
        return msgspec.structs.replace(found, verdict="wrong", reason="usual: out is off")

    monkeypatch.setattr(chapter, "check", wrong)
    section = executed(asked("offsets/8-experts"), 0)
    assert section.words[-2].startswith("0 of 1 are right")
    assert section.words[-1] == "offsets/8-experts on sm_80: usual: out is off."


def test_without_a_compiler_it_says_what_is_skipped_and_what_installs_it(monkeypatch):
    def nothing(one, seed):
        raise NoCompiler("kernels are neither compiled nor checked; install it with: pip")

    monkeypatch.setattr(chapter, "check", nothing)
    section = executed(asked("offsets/8-experts"), 0)
    assert section.words == (
        "Skipped: kernels are neither compiled nor checked; install it with: pip.",
    )
    assert (section.evidence, section.tables, section.figure) == ((), (), None)


@pytest.mark.usefixtures("compiler")
def test_a_configuration_that_cannot_be_is_refused():
    with pytest.raises(BadInput, match="did you mean combine"):
        executed(asked("combin"), 0)
    with pytest.raises(BadInput, match="known for sm_89 and sm_120 only"):
        executed(asked("grouped-gemm/down-16x128-e4m3"), 0)
