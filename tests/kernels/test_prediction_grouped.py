"""The grouped GEMM's time without a GPU: what blocks do, counted and in closed form; the model that
makes seconds of it; its constants."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from moesaic.base import BadInput
from moesaic.hardware.load import device
from moesaic.kernels import build
from moesaic.kernels.autotune import bound_s
from moesaic.kernels.compiled.profile import profile
from moesaic.kernels.library.grouped_gemm import GROUPED_GEMM, GroupedGemmShape
from moesaic.kernels.library.part import part_of
from moesaic.kernels.prediction import fit as fitting
from moesaic.kernels.prediction import surveys
from moesaic.kernels.prediction.counts import closed, of_profiles
from moesaic.kernels.prediction.fit import fit, score, seconds_of, shipped
from moesaic.kernels.prediction.grouped import LIMITERS, moved_bytes, predict
from moesaic.kernels.prediction.predicted_part import PredictedPart, binding, space_of
from moesaic.kernels.search.space import Space
from moesaic.simulator.gpu import Machine, limits
from moesaic.workload.load import model

H100 = device("h100-sxm")
CHIP = Machine.of(H100, "bf16")
CONSTANTS = shipped("h100-sxm").constants
FEW = [
    GROUPED_GEMM.configs[name]
    for name in ("gate-up-16x64-gather", "down-32x128-split2", "gate-up-64x64-ahead")
]
"""Configurations that are quick to compile, with and without each macro."""


@pytest.fixture(scope="module")
def survey():
    return surveys.shipped("h100-sxm")


@pytest.fixture(scope="module")
def profiles():
    pytest.importorskip("cupy", reason="needs cupy and NVRTC: pip install 'moesaic[gpu]'")
    return [profile(GROUPED_GEMM, build(GROUPED_GEMM, config, "sm_90a")) for config in FEW]


def builds_of(survey):
    """A row for each different build."""
    return np.unique(survey.cubins, return_index=True)[1]


def predicted(part, survey, machine=CHIP, constants=CONSTANTS):
    """Of every build of the survey that serves the part, in closed form."""
    rows = [
        row
        for row in builds_of(survey)[::9]
        if all(survey.configs[row][name] == value for name, value in part.fixed.items())
    ]
    counts = closed([survey.configs[row] for row in rows], "sm_90a")
    return predict(counts, part.shape, machine, constants)


def test_the_closed_form_counts_the_work_of_a_step_as_the_executor_does(profiles):
    known, counted = closed(FEW, "sm_90a"), of_profiles(FEW, profiles)
    for name in ("warps", "step_mma", "step_wavefronts", "step_sectors"):
        assert getattr(known, name).tolist() == getattr(counted, name).tolist()
    assert np.abs(known.step_instructions / counted.step_instructions - 1).max() < 0.1


def test_a_profile_holds_what_the_compiler_reports_and_the_gate_allows(profiles):
    for config, one in zip(FEW, profiles, strict=True):
        made = build(GROUPED_GEMM, config, "sm_90a")
        assert (one.registers, one.threads) == (made.resources.registers, made.threads)
        assert one.shared_bytes == made.shared_bytes
        assert one.blocks >= 1
        assert one.step["instructions"] >= one.step["mma"] + one.step["ldmatrix"] > 0


def test_over_the_survey_the_closed_form_errs_as_it_says(survey):
    rows = builds_of(survey)
    counted = survey.counts.take(rows)
    known = closed([survey.configs[row] for row in rows], "sm_90a")
    assert (known.step_mma == counted.step_mma).all()
    assert (known.step_wavefronts == counted.step_wavefronts).all()
    # The survey's tokens were drawn twice each then: some of their sectors are asked for once.
    assert np.abs(known.step_sectors / counted.step_sectors - 1).max() < 0.022
    for name, most in {"step_instructions": 0.042, "tile_instructions": 0.093}.items():
        error = np.abs(getattr(known, name) / getattr(counted, name) - 1)
        assert error.mean() < most
    apart = np.abs(known.blocks - counted.blocks)
    assert (apart == 0).mean() > 0.84
    assert (apart <= 1).mean() > 0.98


@pytest.mark.parametrize(("product", "tokens"), [("gate-up", 8), ("gate-up", 2048), ("down", 64)])
def test_more_of_the_gpu_is_never_slower_and_more_rows_are_never_faster(survey, product, tokens):
    part = part_of(model("mixtral-8x7b"), product, tokens)
    usual = predicted(part, survey).seconds
    for faster in (
        {"bandwidth_bytes_per_s": 1.3 * CHIP.bandwidth_bytes_per_s},
        {"clock_hz": 1.3 * CHIP.clock_hz, "peak_flops_per_s": 1.3 * CHIP.peak_flops_per_s},
    ):
        assert (
            predicted(part, survey, msgspec.structs.replace(CHIP, **faster)).seconds <= usual
        ).all()
    more = GroupedGemmShape(
        rows=tuple(2 * rows for rows in part.shape.rows),
        depth=part.shape.depth,
        columns=part.shape.columns,
    )
    assert (predicted(msgspec.structs.replace(part, shape=more), survey).seconds >= usual).all()


@pytest.mark.parametrize(("product", "tokens"), [("gate-up", 1), ("down", 64), ("gate-up", 2048)])
def test_no_prediction_is_faster_than_the_roofline(survey, product, tokens):
    part = part_of(model("mixtral-8x7b"), product, tokens)
    found = predicted(part, survey)
    assert found.seconds.min() > bound_s(part, H100)
    assert found.shares.min() >= 0
    assert found.shares.max() < 1.0 + 1e-9


def test_a_split_depth_moves_its_sums_there_and_back(survey):
    part = part_of(model("mixtral-8x7b"), "down", 64)
    whole, split = ({**FEW[1], "SPLIT_K": splits} for splits in (1, 4))
    moved = moved_bytes(closed([whole, split], "sm_90a"), part.shape)
    rows, columns, depth = 128, 4096, 14336
    assert moved[0] == part.weight_bytes + 2 * rows * (columns + depth)
    assert moved[1] - moved[0] == 4 * 8 * rows * columns


def test_a_decode_batch_is_held_by_the_memory_and_a_large_prefill_is_not(survey):
    for tokens, memory in ((8, True), (8192, False)):
        found = predicted(part_of(model("mixtral-8x7b"), "gate-up", tokens), survey)
        best = found.shares[found.seconds.argmin()]
        assert (LIMITERS[best.argmax()] == "memory") == memory


def test_the_constants_predict_the_launches_that_they_were_fitted_to(survey):
    seconds = seconds_of(survey, CHIP, CONSTANTS, np.arange(len(survey.part)))
    assert np.abs(seconds / survey.seconds - 1).mean() < 0.07


def test_the_unseen_parts_are_predicted_within_the_errors_that_the_constants_file_states(survey):
    scores = shipped("h100-sxm").unseen
    assert [one.part for one in scores] == [part.name for part in survey.parts]
    assert max(one.mape for one in scores) < 0.11
    first_20 = sorted(one.first_20 for one in scores)
    assert first_20[0] > 0.88  # one part of Mixtral at 512 tokens
    assert first_20[1] > 0.98


def test_a_gpu_that_no_constant_was_fitted_to_is_predicted_by_those_of_the_h100():
    other = surveys.shipped("h200-sxm")
    found = shipped("h200-sxm")
    assert found.gpu == "h100-sxm"
    machine = Machine.of(device("h200-sxm"), "bf16")
    for place, part in enumerate(other.parts):
        rows = other.rows_of(place)
        seconds = seconds_of(other, machine, found.constants, rows)
        scored = score(part.name, seconds, other.seconds[rows])
        assert scored.mape < 0.10
        assert scored.first_20 > 0.99


def test_of_all_configurations_in_closed_form_the_first_20_hold_nearly_the_best(survey):
    for place, part in enumerate(survey.parts):
        rows = survey.rows_of(place)
        counts = closed([survey.configs[row] for row in rows], "sm_90a")
        seconds = predict(counts, part.shape, CHIP, CONSTANTS).seconds
        assert score(part.name, seconds, survey.seconds[rows]).first_20 > 0.97


def some_of(survey, rows, seconds):
    names = ("part", "spread")
    return msgspec.structs.replace(
        survey,
        counts=survey.counts.take(rows),
        configs=tuple(survey.configs[row] for row in rows),
        cubins=tuple(survey.cubins[row] for row in rows),
        seconds=seconds,
        **{name: getattr(survey, name)[rows] for name in names},
    )


def test_a_fit_to_times_that_the_model_made_predicts_them_again(survey):
    rows = np.flatnonzero(np.isin(survey.part, [0, 10, 13]))[::14]
    truth = msgspec.structs.replace(CONSTANTS, mma=7.0, memory_256=0.8, start=2000.0)
    made = some_of(survey, rows, seconds_of(survey, CHIP, truth, rows))
    everything = np.arange(len(rows))
    begun = seconds_of(made, CHIP, fitting.START, everything)
    assert np.abs(begun / made.seconds - 1).mean() > 0.08
    found = fitting.constants_of(made, CHIP, everything)
    again = seconds_of(made, CHIP, found, everything)
    assert np.abs(again / made.seconds - 1).mean() < 0.01


def test_what_failed_teaches_nothing_and_too_few_measurements_are_refused(survey):
    rows = np.arange(0, 1000, 2)
    seconds = np.where(np.arange(len(rows)) < 150, survey.seconds[rows], np.inf)
    with pytest.raises(BadInput, match="holds 150 measurements; 200 are needed"):
        next(fit(some_of(survey, rows, seconds), H100, "test"))


@pytest.mark.slow
def test_the_shipped_scores_are_what_a_part_left_out_gives(survey):
    stated = shipped("h100-sxm")
    place = 13
    seen, rows = np.flatnonzero(survey.part != place), survey.rows_of(place)
    found = fitting.constants_of(survey, CHIP, seen, stated.constants)
    one = score(survey.parts[place].name, seconds_of(survey, CHIP, found, rows),
                survey.seconds[rows])  # fmt: skip
    assert one.mape == pytest.approx(stated.unseen[place].mape, abs=0.003)
    assert one.spearman == pytest.approx(stated.unseen[place].spearman, abs=0.02)


def test_every_fitted_constant_is_kept_and_lies_within_its_limits():
    folder = Path(fitting.__file__).parent / "constants"
    assert [file.stem for file in folder.glob("*.toml")] == ["h100-sxm"]
    found = shipped("h100-sxm")
    for name, (low, high) in limits(type(found.constants)).items():
        assert low < getattr(found.constants, name) < high
    assert found.low < 1 < found.high


@pytest.fixture(scope="module")
def decode_part():
    return part_of(model("mixtral-8x7b"), "gate-up", 8)


def test_a_prediction_of_one_configuration_is_that_of_its_counts(profiles, decode_part):
    config = {k: v for k, v in FEW[0].items() if k not in decode_part.fixed}
    runner = PredictedPart(decode_part, H100, Space.of("grouped-gemm", [config]))
    trial = runner(0)
    counts = of_profiles([FEW[0]], profiles[:1])
    assert trial.seconds == predict(counts, decode_part.shape, CHIP, CONSTANTS).seconds[0]
    assert trial.facts["low_s"] < trial.seconds < trial.facts["high_s"]
    assert binding(trial) == "memory"
    assert runner.evidence == "simulated"
    assert runner.ranked()[0] == pytest.approx(trial.seconds, rel=0.05)


def test_what_was_expected_answers_as_what_was_not(profiles, decode_part):
    configs = [{**FEW[0], "STAGES": stages} for stages in (4, 5)]
    free = [{k: v for k, v in one.items() if k not in decode_part.fixed} for one in configs]
    space = Space.of("grouped-gemm", free)
    ahead, one_by_one = (PredictedPart(decode_part, H100, space) for _ in range(2))
    ahead.expect([1, 0])
    assert [ahead(row) for row in (0, 1)] == [one_by_one(row) for row in (0, 1)]
    ahead.close()


def test_what_does_not_compile_is_a_trial_with_its_reason(decode_part):
    pytest.importorskip("cupy", reason="needs cupy and NVRTC: pip install 'moesaic[gpu]'")
    config = {k: v for k, v in FEW[0].items() if k not in decode_part.fixed}
    runner = PredictedPart(decode_part, H100, Space.of("x", [{**config, "BM": 128, "WARPS_M": 8,
                                                            "BK": 16, "BN": 16}]))  # fmt: skip
    trial = runner(0)
    assert trial.status == "compile"
    assert "BN: must be one of" in trial.reason


def test_a_space_is_all_that_serves_the_part_and_an_empty_one_names_its_rule(decode_part):
    space = space_of(decode_part, "sm_90a")
    assert len(space) > 10_000
    config = {**space.config(0), **decode_part.fixed}
    assert not GROUPED_GEMM.refusals(config, decode_part.shape, arch=90)
    odd = msgspec.structs.replace(
        decode_part, shape=GroupedGemmShape(rows=(3,), depth=4096, columns=40)
    )
    with pytest.raises(BadInput, match="columns % BN == 0: column tiles have no tail"):
        space_of(odd, "sm_90a")
