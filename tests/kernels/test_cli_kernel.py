"""moesaic kernel: the list, builds, checks, explanations, and one sentence for what cannot be."""

from __future__ import annotations

import json

import pytest

from moesaic.cli.app import main
from moesaic.kernels import KERNELS
from moesaic.kernels.compiled import TARGETS
from moesaic.kernels.library.kernel import Expected


@pytest.fixture
def compiler(tmp_path_factory, monkeypatch):
    pytest.importorskip("cupy", reason="needs cupy and NVRTC: pip install 'moesaic[gpu]'")
    monkeypatch.setenv("MOESAIC_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


def test_the_list_names_kernels_configurations_and_reasons(capsys):
    assert main(["kernel", "list", "--json"]) == 0
    found = {one["name"]: one for one in json.loads(capsys.readouterr().out)}
    assert found.keys() == KERNELS.keys()
    gemm = found["grouped-gemm"]
    assert gemm["configs"]["down-64x128"]["BM"] == 64
    assert all(one["reason"] for one in gemm["constraints"])
    assert "usual" in gemm["shapes"]
    assert main(["kernel", "list"]) == 0
    assert "gate-up-64x64" in capsys.readouterr().out


def test_a_build_reports_resources_and_the_verdict(compiler, capsys):
    words = ["kernel", "build", "split-reduce", "--arch", "sm_89,sm_90a"]
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["arch"] for one in found] == ["sm_89"] * (len(found) // 2) + ["sm_90a"] * (
        len(found) // 2
    )
    assert all(one["launchable"] and one["resources"]["registers"] > 8 for one in found)
    assert len({one["cubin_hash"] for one in found}) == len(found)
    assert main(words) == 0
    assert "launchable" in capsys.readouterr().out


def test_a_changed_configuration_is_built_or_the_rule_against_it_shown(compiler, capsys):
    words = ["kernel", "build", "grouped-gemm/down-16x128", "--set", "STAGES=6"]
    # 6 stages of 18 KiB are 108 KiB: too much for sm_89, fine on sm_90. The rest is built.
    assert main([*words, "--arch", "sm_89,sm_90a", "--json"]) == 1
    small, large = json.loads(capsys.readouterr().out)
    assert "the stages fit the shared memory of a block" in small["refused"]
    assert large["launchable"]
    assert large["config"]["STAGES"] == 6
    assert main([*words, "--arch", "sm_89"]) == 1
    assert "the stages fit the shared memory" in " ".join(capsys.readouterr().out.split())


def test_a_check_says_right_and_what_it_rests_on(compiler, capsys, tmp_path):
    out = tmp_path / "checks.json"
    words = ["kernel", "check", "split-reduce", "--arch", "sm_80", "--out", str(out)]
    assert main([*words, "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data == json.loads(out.read_text())
    assert (data["all_right"], data["evidence"]) == (True, "simulated")
    assert {one["verdict"] for one in data["results"]} == {"right"}
    assert main([*words, "--all"]) == 0
    shown = capsys.readouterr().out
    assert shown.count("right") > len(data["results"])
    assert "float64" in shown


def test_a_check_that_finds_something_ends_with_1(compiler, capsys, monkeypatch):
    monkeypatch.setattr(Expected, "excess", lambda self, stored: 3.0)
    assert main(["kernel", "check", f"split-reduce/{one_config()}", "--arch", "sm_80"]) == 1
    assert "out is 3 times its bound away" in " ".join(capsys.readouterr().out.split())


def test_ctrl_c_shows_what_was_found(compiler, capsys, monkeypatch):
    from moesaic.kernels.compiled import check_all

    def broken_off(wanted, seed):
        yield next(check_all(wanted, seed, workers=1))
        raise KeyboardInterrupt

    monkeypatch.setattr("moesaic.kernels.compiled.check_all", broken_off)
    assert main(["kernel", "check", "split-reduce", "--arch", "sm_80", "--json"]) == 130
    shown = capsys.readouterr()
    data = json.loads(shown.out)
    assert len(data["results"]) == 1 < data["asked"]
    assert not data["all_right"]
    assert "interrupted" in shown.err


def one_config() -> str:
    return next(iter(KERNELS["split-reduce"].configs))


def test_an_explanation_tells_numbers_by_what_they_rest_on(compiler, capsys):
    words = ["kernel", "explain", "grouped-gemm/down-16x128", "--arch", "sm_90a"]
    assert main([*words, "--json", "--shape", "one-wide-step"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert {"compiled", "bound", "simulated"} <= data.keys()
    simulated = data["simulated"]
    assert simulated["useful_multiply_adds"] == 1 / 16
    assert simulated["loads"]["moved"] >= simulated["loads"]["least"] > 0
    assert simulated["counters"]["mix"]["mma"] > 0
    assert data["bound"]["gate"]["occupancy"] > 0
    assert main(words) == 0
    shown = capsys.readouterr().out
    for word in ("registers of a thread", "ldmatrix", "times the least", "not padding"):
        assert word in shown


GEMM = "grouped-gemm/down-16x128"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["build", "grouped-gem"], "did you mean grouped-gemm"),
        (["build", GEMM, "--arch", "sm_10"], "no architecture is called 'sm_10'"),
        (["build", "grouped-gemm", "--set", "BM=64"], "name it as KERNEL/CONFIG"),
        (["build", GEMM, "--set", "BM"], "NAME=VALUE"),
        (["build", GEMM, "--set", "BM=48"], "one of 16"),
        (["check", "grouped-gemm/up"], "configuration of grouped-gemm is called 'up'"),
        (["explain", "grouped-gemm"], "one configuration, as KERNEL/CONFIG"),
        (["explain", GEMM, "--shape", "odd"], "no shape of grouped-gemm is called 'odd'"),
        (["explain", GEMM, "--arch", "sm_80,sm_89"], "for one architecture"),
    ],
)
def test_what_cannot_be_gives_one_sentence_and_code_2(capsys, words, sentence):
    assert main(["kernel", *words]) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("words", [["build", "count"], ["check"], ["explain", GEMM]])
def test_without_nvrtc_one_sentence_tells_what_to_install(capsys, monkeypatch, words):
    monkeypatch.setitem(__import__("sys").modules, "cupy.cuda", None)
    assert main(["kernel", *words]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "pip install 'moesaic[gpu]'" in said.err
    assert said.err.count("\n") == 1


def test_without_a_gpu_a_check_on_it_says_so_in_one_sentence(capsys):
    from moesaic.base import BadInput
    from moesaic.kernels.runners import local_gpu

    try:
        here = local_gpu().arch
    except BadInput:
        here = ""
    code = main(["kernel", "check", "count", "--on", "gpu", "--json"])
    shown = capsys.readouterr()
    if here:
        assert code == 0
        assert {one["arch"] for one in json.loads(shown.out)["results"]} == {here}
    else:
        assert code == 2
        assert "GPU" in shown.err
        assert shown.err.count("\n") == 1


def test_a_cache_that_cannot_be_written_is_a_remark_not_an_end(
    compiler, capsys, monkeypatch, tmp_path
):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("MOESAIC_CACHE", str(tmp_path / "file"))
    words = ["kernel", "build", f"split-reduce/{one_config()}", "--json"]
    assert main(words) == 0
    shown = capsys.readouterr()
    assert len(json.loads(shown.out)) == len(TARGETS)
    assert "builds are not kept" in shown.err
