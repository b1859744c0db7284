"""What is known of a piece of work before its first measurement, and what must not be."""

import numpy as np
import pytest

from moesaic.base import BadInput
from moesaic.base.evidence import Evidence
from moesaic.hardware.load import device
from moesaic.kernels.autotune import (
    Work,
    bound_s,
    catalogue_gpu,
    default_of,
    on_gpu,
    recorded_s,
    teachers,
)
from moesaic.kernels.library.grouped_gemm import GROUPED_GEMM
from moesaic.kernels.library.part import part_of
from moesaic.kernels.prediction.counts import FREE
from moesaic.kernels.prediction.surveys import shipped
from moesaic.kernels.search import Space, Trial, tune
from moesaic.workload.load import model

MIXTRAL = model("mixtral-8x7b")
SURVEYED = part_of(MIXTRAL, "gate-up", 64)


@pytest.mark.parametrize(
    ("name", "known"),
    {
        "NVIDIA H100 80GB HBM3": "h100-sxm",
        "NVIDIA H100 PCIe": "h100-pcie",
        "NVIDIA H200": "h200-sxm",
        "NVIDIA A100-SXM4-80GB": "a100-80gb-sxm",
        "NVIDIA A100-SXM4-40GB": "a100-40gb-sxm",
        "NVIDIA A100 80GB PCIe": "a100-80gb-pcie",
        "NVIDIA A100-PCIE-40GB": None,
        "NVIDIA B200": "b200-sxm",
        "NVIDIA GB200": "gb200",
        "NVIDIA L4": "l4",
        "NVIDIA L40": None,
        "NVIDIA L40S": "l40s",
        "NVIDIA GeForce RTX 4090": "rtx-4090",
        "NVIDIA GeForce RTX 4090 D": None,
        "NVIDIA GeForce RTX 4090 Laptop GPU": None,
        "NVIDIA GeForce RTX 5090": "rtx-5090",
        "NVIDIA GeForce RTX 3090": None,
        "NVIDIA RTX PRO 6000 Blackwell Server Edition": "rtx-pro-6000-server",
        "NVIDIA RTX A6000": None,
        "NVIDIA H100 NVL": None,
        "NVIDIA H100 80GB HBM3 MIG 1g.10gb": None,
        "NVIDIA GH200 480GB": None,
        "Tesla V100-SXM2-16GB": None,
        "": None,
    }.items(),
)
def test_a_gpu_is_known_by_the_name_that_it_gives_itself(name, known):
    found = catalogue_gpu(name)
    assert (found.name if found else None) == known


def test_teachers_measured_the_same_product_and_the_most_alike_comes_first():
    found = teachers(SURVEYED)
    assert len(found) == 3
    assert {one.name for one in found[:2]} == {
        f"mixtral-8x7b gate-up, 64 tokens on {gpu}" for gpu in ("h100-sxm", "h200-sxm")
    }
    assert all(" gate-up, " in one.name for one in found)
    assert all(" down, " in one.name for one in teachers(part_of(MIXTRAL, "down", 64)))


def test_what_is_scored_does_not_teach():
    left_out = ["h100-sxm", "mixtral-8x7b gate-up, 64 tokens"]
    for one in teachers(SURVEYED, without=left_out):
        assert not one.name.endswith("h100-sxm")
        assert not one.name.startswith("mixtral-8x7b gate-up, 64 tokens")
    assert teachers(SURVEYED, without=["h100-sxm", "h200-sxm"]) == []


def test_a_new_batch_is_taught_by_the_nearest_surveyed_one():
    assert teachers(part_of(MIXTRAL, "gate-up", 80))[0].name.startswith(
        "mixtral-8x7b gate-up, 64 tokens"
    )


def test_recorded_seconds_are_those_of_the_survey_for_just_this_part():
    survey = shipped("h100-sxm")
    found = recorded_s(SURVEYED, "h100-sxm")
    rows = survey.rows_of([part.name for part in survey.parts].index(SURVEYED.name))
    assert len(found) == len(rows)
    row = rows[17]
    assert found[tuple(survey.configs[row][name] for name in FREE)] == survey.seconds[row]


@pytest.mark.parametrize(
    ("part", "gpu"),
    [
        (SURVEYED, "a100-80gb-sxm"),
        (part_of(MIXTRAL, "gate-up", 65), "h100-sxm"),
        (part_of(MIXTRAL, "gate-up", 64, seed=1), "h100-sxm"),
        (part_of(MIXTRAL, "gate-up", 64, kernel="decode"), "h100-sxm"),
    ],
    ids=["another GPU", "another batch", "another routing", "another kernel"],
)
def test_what_was_not_surveyed_has_no_recorded_seconds(part, gpu):
    assert recorded_s(part, gpu) == {}


def test_no_measured_launch_is_faster_than_the_bound():
    for gpu in ("h100-sxm", "h200-sxm"):
        survey = shipped(gpu)
        for place, part in enumerate(survey.parts):
            assert survey.seconds[survey.rows_of(place)].min() > bound_s(part, device(gpu))


@pytest.mark.parametrize("product", ["gate-up", "down"])
def test_the_default_is_one_configuration_that_serves_every_surveyed_part(product):
    for part in shipped("h100-sxm").parts:
        if part.product == product:
            config = {**default_of(part), **part.fixed}
            assert GROUPED_GEMM.config(config)
            assert not GROUPED_GEMM.refusals(config, part.shape, arch=80)


def test_work_on_a_gpu_of_the_catalogue_is_a_ranking_of_every_configuration():
    work = on_gpu("grouped_gemm", MIXTRAL, "gate-up", 64, "h100-sxm")
    assert work.name == "grouped-gemm, mixtral-8x7b gate-up, 64 tokens on h100-sxm"
    assert work.predicted is not None
    assert work.predicted.shape == (len(work.runner.space),)
    assert np.isfinite(work.predicted).all()
    assert work.bound_s is not None
    assert work.predicted.min() > work.bound_s
    assert work.teachers == ()
    assert (work.strategy, work.runner.evidence) == ("model", "simulated")
    assert work.default == default_of(SURVEYED)
    assert set(work.recorded) <= {
        tuple(work.runner.space.config(row).values()) for row in range(len(work.runner.space))
    }
    work.close()


def test_a_gpu_that_no_kernel_is_built_for_is_refused():
    with pytest.raises(BadInput, match="mi300x: no kernel is built for it"):
        on_gpu("grouped-gemm", MIXTRAL, "gate-up", 64, "mi300x")


class Noisy:
    """Answers each configuration with the next of its times."""

    evidence: Evidence = "measured-here"

    def __init__(self, times):
        self.about = {"kernel": "noisy"}
        self.times = {row: iter(some) for row, some in enumerate(times)}
        self.space = Space.of("noisy", [{"SIDE": side} for side in range(len(times))])

    def __call__(self, row: int) -> Trial:
        seconds = next(self.times[row])
        config = self.space.config(row)
        if seconds is None:
            return Trial(config=config, status="runtime", reason="crashed")
        return Trial(config=config, status="ok", seconds=seconds)


def work_and_search(times, default):
    work = Work(
        name="noisy", strategy="random", runner=Noisy(times), predicted=None, default=default
    )
    return work, tune(work.runner, "random", budget=len(times))


def test_the_winner_is_the_best_when_held_again_and_not_the_luckiest():
    lucky, steady, slow = [1, 4, 5, 6], [2, 2, 3, 2], [9, 9, 9, 9]
    work, found = work_and_search([lucky, steady, slow, [8, 8, 8, 8]], None)
    assert found.best.config == {"SIDE": 0}
    finals = work.finals(found)
    assert (finals.winner.config, finals.winner.seconds) == ({"SIDE": 1}, 2)
    assert (finals.default, finals.rounds) == (None, 3)


def test_the_default_takes_part_in_every_round_and_may_win_none():
    work, found = work_and_search([[3] * 9, [2] * 9, [7] * 9, [5, 6, 4, 5]], {"SIDE": 3})
    finals = work.finals(found)
    assert finals.default is not None
    assert finals.default.seconds == 5
    assert finals.winner.seconds == 2


def test_what_crashes_when_held_again_does_not_win():
    work, found = work_and_search([[1, None, None, None], [2] * 9, [7] * 9, [9] * 9], None)
    assert work.finals(found).winner.config == {"SIDE": 1}
