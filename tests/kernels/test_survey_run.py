"""A survey: configurations compiled once, measured on part after part."""

from __future__ import annotations

import importlib
import types
from functools import partial
from pathlib import Path

import pytest

from moesaic.base import BadInput
from moesaic.kernels import build
from moesaic.kernels.compiled import NoCompiler
from moesaic.kernels.library.grouped_gemm import GROUPED_GEMM
from moesaic.kernels.library.part import part_of
from moesaic.kernels.prediction.predicted_part import free_space
from moesaic.kernels.runners import survey as surveying
from moesaic.kernels.runners.survey import sample, survey
from moesaic.kernels.search.space import Space
from moesaic.workload.load import model

FIXED = {"DTYPE": 0, "FUSE_SWIGLU": 1, "GATHER": 1}
PARTS = [part_of(model("mixtral-8x7b"), "gate-up", tokens) for tokens in (64, 8)]
NAMES = ("gate-up-16x64-gather", "gate-up-32x64-gather", "gate-up-64x64-gather")
SPACE = Space.of(
    "grouped-gemm",
    [
        {k: v for k, v in GROUPED_GEMM.configs[name].items() if k not in FIXED} for name in NAMES
    ],
)  # fmt: skip


@pytest.fixture
def here(monkeypatch, tmp_path):
    """Measures on the stand-in; what it was asked for, as lines."""
    pytest.importorskip("cupy", reason="needs cupy and NVRTC: pip install 'moesaic[gpu]'")
    monkeypatch.setattr(surveying, "local_gpu", lambda: types.SimpleNamespace(arch="sm_90a"))
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    stand_in = importlib.import_module("stand_in_runner").StandIn
    note = tmp_path / "asked"
    return types.SimpleNamespace(
        runner=partial(stand_in, note), asked=lambda: note.read_text().splitlines()
    )


def without(monkeypatch, fault):
    """The second configuration does not compile."""

    def some(kernel, config, arch):
        if config["BM"] == 32:
            raise fault
        return build(kernel, config, arch)

    monkeypatch.setattr(surveying, "build", some)


def test_parts_are_measured_one_by_one_without_what_does_not_compile(here, monkeypatch):
    without(monkeypatch, BadInput("does not compile"))
    found = list(survey(PARTS, SPACE, 60, here.runner))
    assert here.asked() == ["64 0", "64 2", "8 0", "8 2"]
    assert [(one.part.tokens, one.config["BM"]) for one in found] == [
        (64, 16), (64, 64), (8, 16), (8, 64),
    ]  # fmt: skip
    for one in found:
        assert one.config == {**one.trial.config, **FIXED}
        assert one.trial.seconds == one.part.tokens + (one.config["BM"] == 64) * 0.2
        assert one.profile.step["mma"] > 0
    assert len({one.cubin_hash for one in found}) == 2


def test_a_configuration_that_cannot_serve_a_part_is_left_out_there(here):
    narrow = part_of(model("qwen3-30b-a3b"), "gate-up", 8, ep=1)
    wide = {**SPACE.config(0), "BN": 256, "WARPS_M": 1, "WARPS_N": 4, "STAGES": 2}
    space = Space.of("grouped-gemm", [{**wide, "SPLIT_K": split} for split in (1, 8)])
    shallow = GROUPED_GEMM.refusals({**space.config(1), **FIXED}, narrow.shape)
    assert not shallow
    tiny = type(narrow.shape)(rows=narrow.shape.rows, depth=128, columns=768)
    part = type(narrow)(
        model="toy", product="gate-up", tokens=8, ep=1, kernel=GROUPED_GEMM, fixed=FIXED,
        shape=tiny,
    )  # fmt: skip
    found = list(survey([narrow, part], space, 60, here.runner))
    assert [one.config["SPLIT_K"] for one in found] == [1, 8, 1]


def test_after_its_deadline_nothing_more_is_begun(here, monkeypatch):
    now = iter([0.0, 1.0, 2.0, 11.0])
    monkeypatch.setattr(surveying, "time", types.SimpleNamespace(monotonic=lambda: next(now)))
    assert len(list(survey(PARTS, SPACE, 10, here.runner))) == 2


def test_without_a_compiler_it_is_not_a_survey_of_nothing(here, monkeypatch):
    without(monkeypatch, NoCompiler("for want of NVRTC"))
    with pytest.raises(NoCompiler, match="NVRTC"):
        list(survey(PARTS[:1], SPACE, 60, here.runner))


def test_a_sample_is_drawn_by_its_seed_from_what_is_worth_measuring(monkeypatch):
    whole = free_space(GROUPED_GEMM, {**FIXED, "BK": 64}, "sm_90a", {})
    monkeypatch.setattr(surveying, "free_space", lambda *_: whole)
    few, again, other = (sample(GROUPED_GEMM, FIXED, "sm_90a", 40, seed) for seed in (0, 0, 1))
    assert len(few) == 40
    assert few.table.tolist() == again.table.tolist()
    assert [few.config(row) for row in range(40)] != [other.config(row) for row in range(40)]
    for row in range(40):
        config = {**few.config(row), **FIXED, "BK": 64}
        assert not GROUPED_GEMM.refusals(config, arch=90)
        warps = config["WARPS_M"] * config["WARPS_N"]
        assert 4 <= warps <= 8
        assert 8 <= config["BM"] * config["BN"] * 2 / (32 * warps) <= 128
