"""Constants are found again from times that they made, and scored on shapes left out of the fit."""

import msgspec
import numpy as np
import pytest

from moesaic.base import BadInput
from moesaic.base.spec import dump
from moesaic.hardware.load import device
from moesaic.measured import Measurements, Provenance, load
from moesaic.simulator.gpu import ExpertConstants, limits, load_fitted
from moesaic.simulator.gpu.fitted import FOLDER, Family, Fitted, Score
from moesaic.simulator.gpu.gemm import GemmConstants
from moesaic.simulator.gpu.trees import save
from moesaic.sweeps.accuracy import compare
from moesaic.sweeps.accuracy.calibrate import calibrate, correction
from moesaic.sweeps.accuracy.families import dealt, families
from moesaic.sweeps.accuracy.fit import LEAST_ROWS, fit, told_apart
from moesaic.sweeps.accuracy.folds import refits, unseen_shapes
from moesaic.sweeps.accuracy.rows import family_names, joined
from moesaic.sweeps.accuracy.suspect import Priced, remarks
from moesaic.sweeps.accuracy.tile import _with_constants, tile_with

L40S = device("l40s")


@pytest.fixture(scope="module")
def table():
    """A recorded family's shapes, splits and loads with times that the tile model itself gives."""
    recorded = load("moe", "l40s").where(
        kernel_source="moe_torch_flow_cutlass", dtype="bf16", tp=[1, 4], ep=[1, 8]
    )
    thinned = recorded.take(np.arange(0, len(recorded), 7))
    (rows,) = families(thinned, L40S)
    truth = ExpertConstants(launch_cycles=1.5e5, tensor_share=0.5, dram_share=0.7)
    return msgspec.structs.replace(
        thinned, columns={**thinned.columns, "latency_s": rows.seconds(truth)}
    )


def test_times_that_the_model_made_are_predicted_for_unseen_shapes(table):
    (rows,) = families(table, L40S)
    made = unseen_shapes(rows, list(refits(rows)))
    error = np.abs(made.seconds / rows.measured_s - 1)
    assert np.median(error) < 0.02
    assert error.mean() < 0.05


def test_the_fit_finds_the_constants_that_the_times_show(table):
    (rows,) = families(table, L40S)
    found = fit(rows)
    assert isinstance(found, ExpertConstants)
    assert found.packing == "assigned"
    assert found.launch_cycles == pytest.approx(1.5e5, rel=0.1)
    assert found.dram_share == pytest.approx(0.7, rel=0.1)


def test_glitches_do_not_move_the_fit(table):
    (rows,) = families(table, L40S)
    spoilt = rows.measured_s.copy()
    spoilt[::50] *= 20
    found = fit(msgspec.structs.replace(rows, measured_s=spoilt))
    assert np.median(np.abs(rows.seconds(found) / rows.measured_s - 1)) < 0.03


def test_a_fold_holds_whole_shapes_and_every_row_is_left_out_once(table):
    (rows,) = families(table, L40S)
    refitted = list(refits(rows))
    assert np.sum([one.left_out for one in refitted], axis=0).tolist() == [1] * len(rows)
    for one in refitted:
        assert not set(rows.shape[one.left_out]) & set(rows.shape[~one.left_out])


def test_shapes_of_a_small_family_lie_in_different_folds_and_all_families_share_the_folds():
    many = list(range(20))
    for few in ([3, 8], [0, 5, 10, 15, 19]):
        fold = dealt([many, few])
        assert sorted(fold) == many
        assert len({fold[shape] for shape in few}) == len(few)
        assert np.bincount([fold[shape] for shape in many]).tolist() == [4] * 5


def test_a_file_of_constants_predicts_what_was_fitted(table, tmp_path):
    lines: list[str] = []
    fitted = calibrate(table, L40S, command="moesaic calibrate", tell=lines.append)
    file = tmp_path / "mine.toml"
    file.write_text(dump(fitted))
    assert load_fitted(file) == fitted
    assert len(lines) == len(fitted.family) == 1
    score = fitted.family[0].unseen_shapes
    assert score is not None
    assert score.rows == len(table)
    assert score.median_ape < 0.02


def test_a_correction_is_grown_on_the_constants_and_read_back(table, tmp_path):
    pytest.importorskip("lightgbm")
    strange = (table["num_tokens"] > 64) & (table["num_tokens"] <= 512)
    slow = table["latency_s"] * np.where(strange, 2.0, 1.0)
    odd = msgspec.structs.replace(table, columns={**table.columns, "latency_s": slow})
    (rows,) = families(odd, L40S)
    family = Family(name=rows.family, constants=ExpertConstants())
    fitted = Fitted(gpu="l40s", kind="moe", data="", command="", family=(family,))
    file, trees = tmp_path / "mine.toml", tmp_path / "mine.parquet"
    file.write_text(dump(fitted))
    save(correction(odd, L40S, fitted), trees)

    def error(model):
        made = model(odd, L40S, 0, print)
        return np.abs(made.seconds / odd["latency_s"] - 1).mean()

    assert error(tile_with(file, trees)) < 0.6 * error(tile_with(file))
    with pytest.raises(BadInput, match="moe on l40s"):
        tile_with(file, trees)(load("gemm", "l40s"), L40S, 0, print)


def test_constants_of_other_kernels_gpus_or_families_are_refused(table):
    shipped_file = FOLDER / "gemm" / "l40s.toml"
    with pytest.raises(BadInput, match="gemm on l40s"):
        tile_with(shipped_file)(table, L40S, 0, print)
    with pytest.raises(BadInput, match="gemm on l40s"):
        tile_with(shipped_file)(table, device("h100-sxm"), 0, print)
    wrong = Fitted(
        gpu="l40s",
        kind="moe",
        data="",
        command="",
        family=(Family(name=family_names(table)[0], constants=GemmConstants()),),
    )
    with pytest.raises(BadInput, match="gemm kernels"):
        _with_constants(table, L40S, wrong, 0, print)


def test_too_few_rows_are_refused_with_the_number_needed(table):
    few = table.take(np.arange(LEAST_ROWS - 1))
    (rows,) = families(few, L40S)
    with pytest.raises(BadInput, match=str(LEAST_ROWS)):
        fit(rows)
    with pytest.raises(BadInput, match="no kernel family"):
        calibrate(few, L40S, command="")


def test_a_family_of_one_shape_is_predicted_by_the_prior(table):
    (rows,) = families(table, L40S)
    one = rows.take(rows.shape == rows.shape[0])
    made = unseen_shapes(one, list(refits(one)))
    np.testing.assert_array_equal(made.seconds, one.seconds(ExpertConstants()))


def test_what_the_tile_model_cannot_predict_is_refused():
    comm = Measurements(
        kind="comm",
        system="l40s",
        columns={name: np.ones(3) for name in ("num_gpus", "latency_s")},
        provenance=Provenance(source="made here"),
        evidence="measured-here",
    )
    with pytest.raises(BadInput, match="comm"):
        families(comm, L40S)
    with pytest.raises(BadInput, match="boosted"):
        compare("moe", "h100-sxm", "roofline", cv="shape")


def test_the_shipped_constants_do_on_their_own_table_what_the_files_say():
    comparison = compare("moe", "l40s", "tile")
    everything = comparison.by_band()[0]
    assert comparison.predicted_evidence == "simulated"
    assert everything.mape < 0.20
    assert everything.median_ape < 0.11
    assert everything.spearman > 0.98


def test_a_file_that_contradicts_itself_is_refused(tmp_path):
    family = Family(name="a/b/bf16", constants=ExpertConstants())
    with pytest.raises(ValueError, match="each family once"):
        Fitted(gpu="l40s", kind="moe", data="", command="", family=(family, family))
    with pytest.raises(ValueError, match="must not exceed"):
        Score(rows=1, mape=0.1, median_ape=0.1, low=2.0, high=1.0)


def test_a_correction_of_too_few_rows_is_refused(table):
    few = table.take(np.arange(100))
    family = Family(name=str(family_names(few)[0]), constants=ExpertConstants())
    fitted = Fitted(gpu="l40s", kind="moe", data="", command="", family=(family,))
    with pytest.raises(BadInput, match="at least 400"):
        correction(few, L40S, fitted)


def ungated(rows):
    """The same calls as layers without a gate."""
    asked = msgspec.structs.replace(rows.asked, matrices_in=np.ones(len(rows)))
    return msgspec.structs.replace(rows, asked=asked)


def test_constants_that_the_rows_cannot_tell_apart_stay_at_their_start(table):
    (gated,) = families(table, L40S)
    few = gated.take(np.arange(0, len(gated), 5))
    both = joined([few, ungated(few)])
    alone = ungated(few)
    names = set(limits(ExpertConstants))
    assert set(told_apart(both, ExpertConstants())) == names
    assert set(told_apart(alone, ExpertConstants())) == names - {"ungated_rate"}
    slow = msgspec.structs.replace(alone, measured_s=3 * alone.measured_s)
    found = fit(slow)
    assert isinstance(found, ExpertConstants)
    assert found.ungated_rate == 1.0


def test_rows_of_one_shape_are_marked_as_the_priors(table):
    (rows,) = families(table, L40S)
    one = table.take(np.tile(rows.where[rows.shape == rows.shape[0]], 3))
    lines: list[str] = []
    (family,) = calibrate(one, L40S, command="", tell=lines.append).family
    assert family.unseen_shapes is not None
    assert family.unseen_shapes.prior_rows == len(one)
    assert f"{len(one)} of them by the prior" in lines[0]


def test_rows_far_off_and_a_table_of_another_gpu_are_remarked_once(table):
    (rows,) = families(table, L40S)
    seconds = rows.measured_s.copy()
    assert not list(remarks([Priced(rows, seconds)], "l40s"))
    seconds[[3, 5]] /= [9.0, 5.0]
    (line,) = remarks([Priced(rows, seconds)] * 2, "l40s")
    assert "4 rows" in line
    assert "row 4 most" in line
    lines = list(remarks([Priced(rows, 3 * rows.measured_s)], "l40s"))
    assert len(lines) == 1
    assert "does not look like l40s" in lines[0]


def test_a_kernel_without_a_name_is_refused(table):
    for name in ("kernel_source", "backend"):
        blank = table[name].astype(object)
        blank[2] = " "
        nameless = msgspec.structs.replace(table, columns={**table.columns, name: blank})
        with pytest.raises(BadInput, match=f"row 3, column {name}"):
            families(nameless, L40S)


def test_a_table_of_unknown_kernels_is_told_to_be_predicted_by_the_prior(table):
    strange = np.full(len(table), "mine", object)
    mine = msgspec.structs.replace(table, columns={**table.columns, "kernel_source": strange})
    lines: list[str] = []
    other = Fitted(gpu="l40s", kind="moe", data="", command="", family=())
    made = _with_constants(mine, L40S, other, 0, lines.append)
    assert lines == ["no kernel family of the table has constants for l40s: all by the prior"]
    (rows,) = families(mine, L40S)
    np.testing.assert_array_equal(made.seconds, rows.seconds(ExpertConstants()))
