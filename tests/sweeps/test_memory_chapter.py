"""The chapter on a memory: shares, the best map, and steps that are never faster than the bound."""

import numpy as np
import pytest

from moesaic.base import BadInput
from moesaic.base.spec import build
from moesaic.simulator.memory import Row
from moesaic.sweeps.chapters.memory import Memory, memory
from moesaic.sweeps.plots.memory import efficiency_maps

ASKED = {
    "kind": "memory",
    "name": "memory",
    "title": "What experts get",
    "memory": "hbm3_6400_4Gb_1ch2pc",
    "models": ["qwen3-30b-a3b"],
    "cells": {"queues": [16, 32], "layouts": ["contiguous"]},
}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MOESAIC_CACHE", str(tmp_path / "cache"))


def asked(**words):
    return build(Memory, {key: value for key, value in (ASKED | words).items() if key != "kind"})


def test_the_chapter_names_the_best_map_and_prices_steps_under_it(tmp_path):
    load = {"batch": 1, "context": 64}
    case = {"model": "olmoe-1b-7b", "machine": {"on": "l4"}, "load": load}
    section = memory(asked(steps=[case]), 0, tmp_path)
    assert section.evidence == ("simulated", "bound")
    (step,) = section.data["steps"]
    best = section.data["best"]
    assert step["seconds"]["bound"] < step["seconds"][best]
    assert step["seconds"]["bound"] < step["seconds"]["own"]
    assert best in section.tables[1].columns[5]
    worst = {
        name: min(row["share_of_peak"] for row in section.data["rows"] if row["map"] == name)
        for name in {row["map"] for row in section.data["rows"]}
    }
    assert worst[best] == max(worst.values())


def test_a_memory_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(BadInput, match="hbm3_6400_4Gb_1ch2pc"):
        memory(asked(memory="hbm3_6400_4Gb_1ch3pc"), 0, tmp_path)


def rows():
    return [
        Row(
            config="c", stream=stream, expert_bytes=2**20, layout=layout, readers=1, tile_bytes=64,
            map=name, queue=queue, share_of_peak=share, row_hit_rate=0.5, energy_j_per_bit=None,
            moved=0,
        )
        for stream in ("a", "b")
        for layout in ("x", "y")
        for name, share in (("line", 0.25), ("row", 0.75))
        for queue in (8, 16)
    ]  # fmt: skip


def test_every_row_is_a_cell_of_the_heat_map():
    made = efficiency_maps(rows())
    panels = [axis for axis in made.axes if axis.images]
    assert [axis.get_title("left") for axis in panels] == ["a, 1.05 MB", "b, 1.05 MB"]
    for axis in panels:
        shown = np.asarray(axis.images[0].get_array())
        assert shown.tolist() == [[0.25, 0.25], [0.25, 0.25], [0.75, 0.75], [0.75, 0.75]]
        assert sorted(text.get_text() for text in axis.texts) == ["0.25"] * 4 + ["0.75"] * 4
    labels = panels[0].get_yticklabels()
    bold = [label.get_text() for label in labels if label.get_fontweight() == "bold"]
    assert bold == ["row, 8", "row, 16"]
    assert "best worst case: row" in made.get_suptitle()
