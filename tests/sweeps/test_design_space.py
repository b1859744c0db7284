"""A design space: what its file says, which points it has, and what it refuses."""

import copy
import pickle
from pathlib import Path

import numpy as np
import pytest

from moesaic.base import BadInput
from moesaic.simulator.gpu.choice import BACKENDS
from moesaic.simulator.serving import SCHEDULERS
from moesaic.simulator.step.policies import POLICIES
from moesaic.sweeps.design.conflicts import check_not_empty
from moesaic.sweeps.design.space import load, space
from moesaic.sweeps.design.words import WORDS, model_of, split_of, system_of

TABLES = {
    "title": "A test",
    "by": ["batch"],
    "goals": ["tpot_s < 0.05"],
    "fixed": {"model": "mixtral-8x7b", "context": 2048},
    "axes": {
        "batch": {"from": 1, "to": 64, "factor": 2},
        "machine": [
            {"on": "dgx-h100", "system": {"price_usd_per_hour": 20.0}},
            {"on": "duplex-8", "system.price_usd_per_hour": 30.0, "name": "the PIM"},
        ],
        "system": {"device": {"memory": {"bandwidth_bytes_per_s": ["2 TB/s", "4 TB/s"]}}},
        "tp": [1, 2, 4, 8],
    },
    "derived": {"dp": "8 // tp", "ep": "8", "edp": "energy_j_per_token * tpot_s"},
    "constraints": {"small": "batch * tp < 100"},
    "objectives": {"minimise": ["tpot_s", "edp"], "maximise": ["throughput_tokens_per_s"]},
}
BANDWIDTH = "system.device.memory.bandwidth_bytes_per_s"


def changed(**tables):
    """The space's tables with some entries replaced, one deep."""
    new = copy.deepcopy(TABLES)
    for key, value in tables.items():
        new[key] = new[key] | value if isinstance(new.get(key), dict) else value
    return new


def test_every_combination_is_a_point_and_the_last_axis_runs_fastest():
    asked = space(TABLES)
    assert asked.size == 7 * 2 * 2 * 4
    rows = asked.rows(np.arange(asked.size))
    assert rows["tp"][:5].tolist() == [1, 2, 4, 8, 1]
    assert rows[BANDWIDTH][:5].tolist() == [2e12, 2e12, 2e12, 2e12, 4e12]
    assert rows["batch"][[0, -1]].tolist() == [1, 64]
    assert rows["machine"][[0, 8]].tolist() == ["dgx-h100", "the PIM"]
    assert rows["system.price_usd_per_hour"][[0, 8]].tolist() == [20.0, 30.0]


def test_derived_words_and_constraints_hold_in_every_row():
    rows = space(TABLES).columns(0, 10_000)
    assert (rows["dp"] * rows["tp"] == 8).all()
    assert rows["dp"].dtype == np.int64
    assert (rows["batch"] * rows["tp"] < 100).all()
    assert set(rows) == {"point", *space(TABLES).words}


def test_a_run_of_points_is_the_same_alone_and_after_pickling():
    asked = pickle.loads(pickle.dumps(space(TABLES)))
    whole, part = asked.columns(0, 112), asked.columns(30, 60)
    among = np.isin(whole["point"], part["point"])
    for name, column in part.items():
        assert column.tolist() == whole[name][among].tolist()


@pytest.mark.parametrize("method", ["random", "latin-hypercube", "sobol"])
def test_a_drawn_point_depends_on_its_number_and_the_seed_alone(method):
    axes = {BANDWIDTH: {"from": "1 TB/s", "to": "9 TB/s", "scale": "log"}, "tp": [1, 2]}
    tables = TABLES | {"axes": axes | {"batch": {"from": 1, "to": 7}}, "constraints": {}}
    asked = space(tables | {"sample": {"points": 500, "method": method}, "seed": 3})
    whole = asked.rows(np.arange(500))
    for name, column in asked.rows(np.arange(137, 151)).items():
        assert column.tolist() == whole[name][137:151].tolist()
    assert set(whole["batch"].tolist()) == set(range(1, 8))
    assert 1e12 <= whole[BANDWIDTH].min() < 1.1e12
    assert 8.5e12 < whole[BANDWIDTH].max() < 9e12
    other = space(tables | {"sample": {"points": 500, "method": method}, "seed": 4})
    assert other.rows(np.arange(9))[BANDWIDTH].tolist() != whole[BANDWIDTH][:9].tolist()


def test_a_latin_hypercube_has_one_point_in_every_slice_of_every_axis():
    axes = {name: {"from": 0.0, "to": 1.0} for name in (BANDWIDTH, "times:" + BANDWIDTH)}
    tables = TABLES | {"axes": axes, "constraints": {}, "derived": {}, "by": []}
    tables |= {"objectives": {"minimise": ["tpot_s"]}, "sample": {"points": 777}}
    rows = space(tables).rows(np.arange(777))
    for name in axes:
        assert np.sort(np.floor(rows[name] * 777)).tolist() == list(range(777))


def test_words_become_specs():
    words = {
        "model": "mixtral-8x7b", "on": "dgx-h100", "weights": "fp8", "model.experts.count": 16,
        BANDWIDTH: 5e12, "times:system.device.peak_flops_per_s": 2.0,
        "system.tiers.node.size": 4, "system.tiers.node.link.latency_s": 0.0,
    }  # fmt: skip
    model, system = model_of(words), system_of(words)
    assert (model.formats.experts, model.experts.count, model.experts.top_k) == ("fp8", 16, 2)
    assert len(system.devices) == 4
    assert all(device is system.devices[0] for device in system.devices)
    assert system.devices[0].memory.bandwidth_bytes_per_s == 5e12
    assert system.devices[0].peak_flops_per_s["bf16"] == 2 * 989.4e12
    assert system.tiers[0].link.latency_s == 0.0
    assert split_of(words, system, model).tp == 4


def test_peaks_that_only_fit_together_are_set_together():
    peaks = {"bf16": 3e15, "fp8": 6e15}
    words = {f"system.device.peak_flops_per_s.{name}": peak for name, peak in peaks.items()}
    device = system_of({"on": "h100-sxm"} | words).devices[0]
    assert {name: device.peak_flops_per_s[name] for name in peaks} == peaks
    assert device.peak_flops_per_s["fp64"] > 0


def test_a_machine_is_put_together_of_equal_devices():
    words = {"device": "v80", "count": 16, "link": "pcie-gen5-x16", "network": "ethernet-400g"}
    assert [(tier.name, tier.size) for tier in system_of(words).tiers] == [("node", 8), ("rack", 2)]
    assert len(system_of({"device": "v80"}).devices) == 1


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ({"on": "h100-sxm", "system.device.cache.bandwidth_bytes_per_s": -1.0}, "must be > 0"),
        ({"on": "dgx-h100", "system.tiers.rack.size": 4}, "no tier 'rack'; it has node"),
        ({"on": "v80", "system.device.cache.capacity_bytes": 1e6}, "v80 has no cache"),
        ({"on": "dgx-h100", "device": "v80"}, "by `on`, or by `device`"),
        ({"device": "v80", "count": 12}, "do not fill nodes of 8"),
        ({"device": "v80", "count": 2}, "link: is not named"),
        ({}, "name a machine"),
    ],
)
def test_a_machine_that_cannot_be_is_refused(words, sentence):
    with pytest.raises(BadInput, match=sentence):
        system_of(words)


@pytest.mark.parametrize(
    ("tables", "sentence"),
    [
        (changed(axes={"btach": [1]}), "did you mean batch"),
        (changed(axes={"context": [1]}), "fixed.context: is an axis too"),
        (changed(axes={"prompt": {"from": 1, "to": 5}}), "names no step, factor or points"),
        (changed(axes={"prompt": {"from": 5, "to": 1}}), "no smaller"),
        (changed(axes={"prompt": {"from": 0, "to": 8, "factor": 2}}), "begin above 0"),
        (changed(axes={"prompt": {"from": 1, "to": 8, "factor": 2, "step": 1}}), "one of them"),
        (changed(axes={"prompt": {"from": 1, "to": 8, "stp": 2}}), "no range"),
        (changed(axes={"prompt": []}), "needs a list of values"),
        (changed(axes={"prompt": [1, 1]}), "a value twice"),
        (changed(axes={"prompt": [1.5]}), "whole numbers"),
        (changed(axes={"weights": [8]}), "takes text"),
        (changed(axes={"m": [{"kv": "fp8"}, {"kv": "fp8"}]}), "calls two of its tables 'fp8'"),
        (changed(axes={"m": [{"kv": "fp8"}, {"units": "xpu"}]}), "the same words as the first"),
        (changed(fixed={"system.device.memory.bandwith_bytes_per_s": 1.0}), f"mean {BANDWIDTH}"),
        (changed(fixed={"system.power_w": "3 parsec"}), "unknown unit"),
        (changed(derived={"dpp": "3"}), "did you mean pp or dp"),
        (changed(derived={"dp": "ep", "ep": "dp"}), "in a circle: dp, ep"),
        (changed(derived={"pp": "tpot_s"}), "cannot be derived from tpot_s"),
        (changed(derived={"pp": "batch < 3"}), "belongs to constraints or goals"),
        (changed(constraints={"x": "tpot_s < 3"}), "write it under goals"),
        (changed(constraints={"x": "batch + 3"}), "must be a comparison"),
        (changed(constraints={"x": "batch < foo"}), "no value is called 'foo'"),
        (changed(objectives={"minimise": ["tpot"]}), "did you mean tpot_s"),
        (changed(objectives={"minimise": [], "maximise": []}), "name at least one"),
        (changed(goals=["tpott_s < 3"]), "did you mean tpot_s"),
        (changed(by=["onn"]), "did you mean on"),
        (changed(sample={"points": 0}), ">= 1"),
        (changed(sample={"points": 9, "method": "soboll"}), "must be one of random"),
        (changed(serch={}), "serch"),
        (
            changed(axes={"context": {"from": 1, "to": 900_000, "step": 1}}, fixed={}),
            "combinations",
        ),
        (changed(sample={"points": 9}, search={}), "one of them decides"),
    ],
)
def test_a_space_that_cannot_be_asked_is_refused_in_one_sentence(tables, sentence):
    with pytest.raises(BadInput, match=sentence):
        space(tables)


FREE = {"derived": {"ep": "8 * share", "edp": "energy_j_per_token * tpot_s"}, "constraints": {}}


@pytest.mark.parametrize(
    ("given", "values"),
    [
        ({"from": 0, "to": 1, "step": 0.25}, [0, 0.25, 0.5, 0.75, 1]),
        ({"from": 0, "to": 1, "points": 5}, [0, 0.25, 0.5, 0.75, 1]),
        ({"from": 1, "to": 3, "factor": 1.5}, [1, 1.5, 2.25]),
        ({"from": 0, "to": 10, "points": 3}, [0, 5, 10]),
        ({"from": 1, "to": 1000, "points": 4, "scale": "log"}, [1, 10, 100, 1000]),
    ],
)
def test_a_name_of_its_own_takes_the_fractions_of_its_steps(given, values):
    asked = space(changed(axes={"share": given}) | FREE)
    column = next(one for one in asked.axes if one.name == "share").columns["share"]
    assert column.tolist() == values
    whole = all(value == int(value) for value in values)
    assert column.dtype == (np.int64 if whole else np.float64)


ESC, TWO = "\x1b[31m", [{"kv": "fp8"}, {"kv": ""}]


@pytest.mark.parametrize(
    ("tables", "sentence"),
    [
        (changed(axes={"point": TWO}), "axes: is a column of every run already"),
        (changed(axes={"Detail": TWO}), "choose another name (got 'Detail')"),
        (changed(axes={"order of rows": TWO}), "a column of every run"),
        (changed(axes={"TPOT_S": TWO}), "a column of every run"),
        (changed(axes={"": TWO}), "must name what it holds"),
        (changed(axes={f"a{ESC}": TWO}), "must name what it holds"),
        (changed(fixed={"Tp": 3}, goals=["Tp < 4"]), "differs from"),
        (changed(axes={"Batch": TWO}), "Batch: differs from batch by case alone"),
        (changed(derived={"Stage": "3"}), "derived: is a column of every run"),
        (changed(fixed={"kernels": "vlm"}), "did you mean vllm"),
        (changed(axes={"units": ["", "exactly"]}), "did you mean exact"),
        (changed(fixed={"scheduler": "fifo"}), "known: chunked, continuous"),
        (changed(served={}), "served: needs `prompt`"),
        (changed(served={}, fixed={"prompt": 0}), "served: needs `prompt`"),
        (changed(axes={"prompt": {"from": 1, "to": 2**63 - 1, "factor": 2}}), "within 2^53"),
        (changed(axes={"prompt": {"from": 0, "to": 2**63 - 1, "points": 3}}), "within 2^53"),
        (changed(derived={"pp": "'a'"}), "derived.pp: gives a text; pp takes numbers"),
        (changed(derived={"kv": "3"}), "derived.kv: gives a number; kv takes text"),
        (changed(fixed={"model": "a\0.json"}), "model: holds the control character U+0000"),
        (changed(axes={"routing": ["", ESC]}), "routing: holds the control character U+001B"),
        (changed(derived={"kv": "'\\x1b' if tp > 1 else ''"}), "character U+001B"),
        (changed(title=ESC), "title: holds the control character"),
        (changed(words=f"One line.\nAnother.\t{ESC}"), "words: holds the control character"),
        (changed(axes={"m": [{"kv": "fp8", "name": ESC}]}), "m[0].name: holds the control"),
        (changed(axes={"pp": [{"pp": 1}, {"pp": 2}]}), "list values, pp = [...]"),
        (changed(axes={"pp": TWO}), "call the axis otherwise"),
        (changed(derived={"x": "[x for x in (1, 2)]", "pp": "x"}), "holds what is not allowed"),
        (changed(axes={"prompt": {"from": 1, "to": 9, "step": 2, "scale": "log"}}), "leave it out"),
        (
            changed(axes={"prompt": {"from": 1, "to": 9, "factor": 2, "scale": "linear"}}),
            "names scale beside factor",
        ),
        (changed(by=["batch", "tp", "batch"]), "by: is named twice (got 'batch')"),
    ],
)
def test_what_would_go_wrong_later_is_refused_when_the_space_is_read(tables, sentence):
    with pytest.raises(BadInput) as fault:
        space(tables)
    assert sentence in str(fault.value)
    assert "\x1b" not in str(fault.value)


def test_the_simulators_names_are_those_that_words_take():
    assert WORDS["kernels"].among == BACKENDS
    assert WORDS["units"].among == tuple(POLICIES)
    assert WORDS["scheduler"].among == tuple(SCHEDULERS)
    asked = space(changed(fixed={"scheduler": "", "kernels": ""}))
    assert (asked.fixed["scheduler"], asked.fixed["kernels"]) == ("continuous", "")


def test_derived_texts_are_texts_in_every_row():
    rows = space(changed(derived={"kv": "'fp8'", "scheduler": "''"})).columns(0, 9)
    assert rows["kv"].dtype == object
    assert set(rows["kv"].tolist()) == {"fp8"}
    assert set(rows["scheduler"].tolist()) == {"continuous"}


@pytest.mark.parametrize(
    ("derived", "sentence"),
    [
        ({"pp": "2 ** 62 * 4"}, "derived.pp: gives 1.84467e+19 at point 0"),
        ({"pp": "1e19"}, "whole numbers below 2^63"),
        ({"kernels": "'vlm'"}, "derived.kernels: no kernels is called 'vlm'; did you mean vllm?"),
    ],
)
def test_faults_of_derived_words_name_the_file_after_pickling_too(tmp_path, derived, sentence):
    file = tmp_path / "space.toml"
    asked = pickle.loads(pickle.dumps(space(changed(derived=derived), tmp_path, file)))
    with pytest.raises(BadInput) as fault:
        asked.columns(0, 9)
    assert str(fault.value).startswith(f"{file}: derived.")
    assert sentence in str(fault.value)
    empty = space(changed(constraints={"none": "batch < 0"}), tmp_path, file)
    with pytest.raises(BadInput, match=f"^{file}: constraints: no point meets"):
        check_not_empty(empty)


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ('model = "mixtral-8x7"\non = "dgx-h100"', "fixed.model: no model is called"),
        ('model = "none.json"\non = "dgx-h100"', "none.json: cannot be read"),
        ('device = "h100-sxx"', "fixed.device: no device is called 'h100-sxx'; did you mean h100"),
        ('link = "nvlnk4"', "fixed.link: no link is called"),
        ('network = "none.toml"', "none.toml: cannot be read"),
        ('on = "h100-smx"', "fixed.on: no system or device is called"),
        ('kv = "fp9"', "fixed.kv: no number format is called"),
    ],
)
def test_a_spec_that_cannot_be_read_is_refused_when_the_file_is(tmp_path, lines, sentence):
    file = tmp_path / "space.toml"
    end = '[axes]\nbatch = [1]\n[objectives]\nminimise = ["tpot_s"]\n'
    file.write_text(f"title = 'x'\n[fixed]\n{lines}\n{end}")
    with pytest.raises(BadInput) as fault:
        load(file)
    assert str(fault.value).startswith(f"{file}: fixed.")
    assert sentence in str(fault.value)


def test_a_listed_spec_that_cannot_be_read_is_named_by_its_axis(tmp_path):
    file = tmp_path / "space.toml"
    file.write_text(
        '\ufefftitle = "with the mark of UTF-8"\n[axes]\nmachine = [{ on = "dgx-h100" }, '
        '{ on = "dgx-h10" }]\n[objectives]\nminimise = ["tpot_s"]\n',
        encoding="utf-8",
    )
    with pytest.raises(BadInput, match=r"axes\.machine\.on: no system .* 'dgx-h10'"):
        load(file)


def test_a_derived_word_without_a_value_names_the_point():
    with pytest.raises(BadInput, match=r"derived.ep: gives 2.66667 at point 0"):
        space(changed(derived={"ep": "8 / 3"})).columns(0, 9)


def test_constraints_that_contradict_each_other_are_named_and_no_others():
    tables = changed(constraints={"few": "batch < 8", "many": "batch * tp > 60", "free": "tp > 0"})
    with pytest.raises(BadInput, match=r"`few` \(batch < 8\) and `many` .* together") as fault:
        check_not_empty(space(tables))
    assert "free" not in str(fault.value)
    with pytest.raises(BadInput, match=r"no point meets `few` \(batch < 0\): the space is empty"):
        check_not_empty(space(changed(constraints={"few": "batch < 0"})))
    check_not_empty(space(TABLES))


def test_a_fault_names_the_file(tmp_path):
    path = tmp_path / "space.toml"
    path.write_text("title = 'x'\n[axes]\nbtach = [1]\n[objectives]\nminimise = ['tpot_s']\n")
    with pytest.raises(BadInput, match=f"{path}: no word is called 'btach'"):
        load(path)


def test_paths_of_files_count_from_the_folder_of_the_space(tmp_path):
    machine = tmp_path / "mine.toml"
    machine.write_text('name = "mine"\n[[devices]]\ndevice = "h100-sxm"\n')
    tables = TABLES | {"axes": {"on": ["mine.toml"]}, "derived": {}, "by": [], "constraints": {}}
    asked = space(tables | {"objectives": {"minimise": ["tpot_s"]}}, tmp_path)
    row = {name: column[0] for name, column in asked.columns(0, 1).items()}
    assert system_of(row, asked.here).name == "mine"
    with pytest.raises(BadInput, match=r"mine\.toml"):
        system_of(row, Path("elsewhere"))
