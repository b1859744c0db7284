"""Recorded spaces in and out: the hub's CSV, Kernel Tuner's cache, T4; and files that are none."""

import gzip
import json

import numpy as np
import pytest

from moesaic.base import BadInput
from moesaic.kernels.runners.recorded import CacheRunner
from moesaic.kernels.search import (
    kernel_tuner_cache,
    packaged,
    read,
    read_recording,
    recorded_space,
    t4,
    teachers_of,
    tune,
)
from moesaic.kernels.search.packaged import require_kin
from moesaic.kernels.search.recording import Recording

CSV = """bx,pad,time_ms,std_ms,min_ms,error,compile_ms
16,0,3.5,0.035,3.4,,900
32,0,,,,RuntimeFailedConfig,800
16,1,7,0,7,,100
32,1,,,,CompilationFailedConfig,5
"""


def written(folder, text, name="toy.csv"):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def cache(**changes):
    data = {
        "device_name": "Testing",
        "kernel_name": "toy",
        "problem_size": [4096, 4096],
        "tune_params_keys": ["bx", "pad"],
        "tune_params": {"bx": [16, 32], "pad": [0]},
        "objective": "time",
        "cache": {
            "16,0": {"bx": 16, "pad": 0, "time": 2.0, "times": [1.0, 2.0, 3.0], "compile_time": 50},
            "32,0": {"bx": 32, "pad": 0, "time": "InvalidConfig", "compile_time": 0},
        },
    }
    return {**data, **changes}


def test_a_csv_gives_every_configuration_with_its_status_and_time(tmp_path):
    found = read_recording(written(tmp_path, CSV))
    assert [trial.status for trial in found.trials] == ["ok", "runtime", "ok", "compile"]
    assert found.seconds.tolist() == [0.0035, np.inf, 0.007, np.inf]
    assert found.trials[0].config == {"bx": 16, "pad": 0}
    assert found.trials[0].facts == {"compile_seconds": 0.9}
    assert found.trials[0].spread == pytest.approx(0.01349)
    assert found.best_s == 0.0035
    assert found.share_near == 0.25
    assert found.evidence == "measured-published"


def test_a_file_may_be_gzipped(tmp_path):
    packed = written(tmp_path, gzip.compress(CSV.encode()), "toy.csv.gz")
    plain = written(tmp_path, CSV)
    assert read_recording(packed).seconds.tolist() == read_recording(plain).seconds.tolist()


def test_a_cache_of_kernel_tuner_is_read_with_its_device_and_kernel(tmp_path):
    found = read_recording(written(tmp_path, json.dumps(cache()), "toy.json"))
    assert found.about["kernel"] == "toy"
    assert found.about["device"] == "Testing"
    assert found.about["problem"] == "4096x4096"
    assert [trial.status for trial in found.trials] == ["ok", "refused"]
    assert found.trials[0].seconds == 0.002
    assert found.trials[0].repeats == 3
    assert found.trials[0].spread == pytest.approx(1.0)  # quartiles 1 and 3 around 2


def test_a_cache_that_was_still_being_written_is_read(tmp_path):
    text = json.dumps(cache())
    assert text.endswith("}}}")
    broken_off = written(tmp_path, text[:-2] + ",\n", "open.json")
    assert len(read_recording(broken_off).trials) == 2


def test_t4_results_come_back_as_they_went_out(tmp_path):
    runner = CacheRunner(read_recording(written(tmp_path, CSV)))
    tuning = tune(runner, "random", budget=4)
    path = written(tmp_path, json.dumps(t4(tuning)), "t4.json")
    back = read_recording(path)
    for one, other in zip(back.trials, tuning.trials, strict=True):
        assert (one.config, one.status) == (other.config, other.status)
        assert one.seconds == pytest.approx(other.seconds)
        assert (one.spread, one.repeats) == (other.spread, other.repeats)


def test_t4_results_hold_what_the_schema_asks_for(tmp_path):
    tuning = tune(CacheRunner(read_recording(written(tmp_path, CSV))), "random", budget=4)
    made = t4(tuning)
    assert made["schema_version"] == "1.0.0"
    assert made["metadata"]["evidence"] == "measured-published"
    validity = {"timeout", "compile", "runtime", "correctness", "constraints", "correct"}
    for result in made["results"]:
        assert {"configuration", "times", "invalidity", "correctness"} <= result.keys()
        assert result["invalidity"] in validity


def test_a_cache_comes_back_as_it_went_out(tmp_path):
    given = read_recording(written(tmp_path, CSV))
    made = kernel_tuner_cache(given.about, given.trials)
    back = read_recording(written(tmp_path, json.dumps(made), "cache.json"))
    assert back.seconds == pytest.approx(given.seconds)
    assert [one.status for one in back.trials] == [one.status for one in given.trials]
    assert list(made["cache"]) == ["16,0", "32,0", "16,1", "32,1"]
    assert made["tune_params"] == {"bx": [16, 32], "pad": [0, 1]}


def test_an_empty_cache_is_not_written():
    with pytest.raises(BadInput, match="at least one"):
        kernel_tuner_cache({}, [])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "time_ms"),
        ("a,b\n1,2\n", "time_ms"),
        ("a,a,time_ms\n1,1,2\n", "different names"),
        ("a,time_ms\n1\n", "needs 2 fields"),
        ("a,time_ms\n1,fast\n", "fast"),
        ("a,time_ms\n1,-3\n", "above 0"),
        ("a,time_ms\n1,nan\n", "above 0"),
        ("a,time_ms\n1,\n", "above 0"),
        ("a,time_ms\n", "no configuration"),
        ("a,time_ms\n1,2\n1,3\n", "more than once"),
        ("a,time_ms,error\n1,,Bang\n", "CompilationFailedConfig"),
        ("{", "neither a CSV"),
        ("{}", "neither a `cache`"),
        (b"\xff\xfe", "UTF-8"),
        (gzip.compress(CSV.encode(), mtime=0)[:40], "cut short"),
        (b"\x1f\x8bnot gzip", "damaged"),
        (json.dumps(cache(cache={"x": {"bx": 16}})), "pad"),
        (json.dumps(cache(cache={"x": {"bx": 16, "pad": 0, "time": []}})), "another form"),
        (json.dumps(cache(cache=[])), "another form"),
        ("a,time_ms\nnan,1\n", "a must be a word or a number"),
        (f"a,time_ms\n{10**400},1\n", "a must be a word or a number"),
        (f"a,time_ms\n{'x' * 200_000},1\n", "field limit"),
        ("a,time_ms,std_ms\n1,1,nan\n", "a spread"),
        (f"a,time_ms\n{''.join(f'{i},1{chr(10)}' for i in range(33_000))}", "33000 values"),
        (json.dumps(cache(cache={"x": {"bx": None, "pad": 0, "time": 1}})), "bx must be"),
        (json.dumps(cache(cache={"x": {"bx": [1], "pad": 0, "time": 1}})), "bx must be"),
        (json.dumps(cache(cache={"x": {"bx": 1, "pad": 0, "time": 10**400}})), "another form"),
        (json.dumps({"results": [{}]}), "configuration"),
        (json.dumps({"results": [], "metadata": {"timeunit": "days"}}), "timeunit"),
    ],
)
def test_what_is_no_recorded_space_is_refused_in_one_sentence(tmp_path, text, words):
    with pytest.raises(BadInput, match=words) as fault:
        read_recording(written(tmp_path, text))
    assert "\n" not in str(fault.value)


def test_a_file_of_more_configurations_than_memory_holds_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(read, "MOST_CONFIGS", 3)
    with pytest.raises(BadInput, match="more than 3 configurations"):
        read_recording(written(tmp_path, CSV))


def test_a_space_in_which_everything_failed_cannot_be_replayed(tmp_path):
    text = "a,time_ms,error\n1,,RuntimeFailedConfig\n"
    with pytest.raises(BadInput, match="every configuration failed"):
        _ = read_recording(written(tmp_path, text)).seconds


def test_the_spaces_that_ship_are_those_of_their_table():
    counts = {"convolution-a100": (4362, 4201), "gemm-rtx3060-laptop": (10000, 10000)}
    for name, (configs, ran) in counts.items():
        found = recorded_space(name)
        assert len(found.space) == configs
        assert np.isfinite(found.seconds).sum() == ran
        assert found.about["device"] == packaged()[name]["device"]
    assert round(recorded_space("convolution-a100").share_near * 4362) == 1


def test_teachers_are_the_other_devices_of_the_same_kernel():
    names = [one.name for one in teachers_of(recorded_space("convolution-a4000"))]
    assert names == ["convolution-a100", "convolution-mi250x"]


def test_a_teacher_of_another_kernel_or_of_the_very_same_times_is_refused():
    mine = recorded_space("convolution-a100")
    with pytest.raises(BadInput, match="kernel gemm, not convolution"):
        require_kin(mine, recorded_space("gemm-rtx3060-laptop"))
    with pytest.raises(BadInput, match="very times"):
        require_kin(mine, mine)


def test_the_very_times_are_known_in_another_order_and_under_another_name(tmp_path):
    shipped = recorded_space("convolution-a100")
    about = {"kernel": "convolution", "device": "an A100"}
    made = kernel_tuner_cache(about, shipped.trials[::-1][:2000])
    mine = read_recording(written(tmp_path, json.dumps(made), "mine.json"))
    assert "convolution-a100" not in [one.name for one in teachers_of(mine)]
    part = Recording("part", {}, "measured-published", shipped.trials[::-1][:2000])
    with pytest.raises(BadInput, match="very times"):
        require_kin(shipped, part)


def test_a_file_of_a_kernel_of_the_same_name_but_other_parameters_has_no_teacher(tmp_path):
    text = json.dumps(cache(kernel_name="gemm"))
    assert teachers_of(read_recording(written(tmp_path, text, "mine.json"))) == []


def test_an_unknown_space_is_answered_with_the_nearest_names():
    with pytest.raises(BadInput, match="convolution-a100"):
        recorded_space("convolution-a10")
