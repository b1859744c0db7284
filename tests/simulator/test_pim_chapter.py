"""The chapter on experts shared with PIM: its numbers, its pictures, its refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from moesaic.base import BadInput
from moesaic.sweeps.chapters.pim import Shared, shared
from moesaic.sweeps.plots.style import svg

EXAMPLES = Path(__file__).parents[2] / "examples"


def chapter(**change):
    asked = {
        "name": "pim", "title": "Experts on two units", "model": "olmoe-1b-7b",
        "counts": "data/olmoe_repo_counts.npz", "part": "olmoe1b7b", "batches": (16, 256),
    }  # fmt: skip
    return Shared(**(asked | change))


def test_both_units_together_are_never_slower_than_the_better_one():
    section = shared(chapter(), 0, EXAMPLES)
    assert section.data["crossover_tokens"] == 32
    for row in section.data["batches"]:
        assert row["both_s"] <= min(row["xpu_s"], row["pim_s"])
        assert row["both_s"] > 0
    assert "From 32 tokens on" in section.words[-1]
    assert section.evidence == ("bound", "simulated")


def test_the_bundle_table_names_its_timing_sets():
    *_, bundles = shared(chapter(), 0, EXAMPLES).tables
    assert {row[0] for row in bundles.rows} == {"hbm3-6.4-16gb", "hbm3-5.2-duplex"}
    assert {row[2] for row in bundles.rows} == {"4x"}


def test_the_same_seed_gives_the_same_section_and_picture():
    one, two, other = (shared(chapter(), seed, EXAMPLES) for seed in (3, 3, 4))
    assert one.data == two.data != other.data
    assert svg(one.figure) == svg(two.figure)


def test_a_trace_serves_as_well_as_counts():
    path = "data/tiny_mixtral_E16k2_seed0.npz"
    with pytest.raises(BadInput, match="16 experts; olmoe-1b-7b has 64"):
        shared(chapter(counts=path, part=None), 0, EXAMPLES)
    section = shared(chapter(counts=path, part=None, model="phi-3.5-moe"), 0, EXAMPLES)
    assert np.isfinite([row["both_s"] for row in section.data["batches"]]).all()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"on": "h100-sxm"}, "h100-sxm: is no PIM with a host"),
        ({"layer": 3}, "layer: must lie below the 3"),
        ({"part": "olmoe"}, "olmoe"),
        ({"counts": "data/none.npz"}, "none.npz"),
    ],
)
def test_what_cannot_be_shared_is_refused(change, says):
    with pytest.raises(BadInput, match=says):
        shared(chapter(**change), 0, EXAMPLES)
