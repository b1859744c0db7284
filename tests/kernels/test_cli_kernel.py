"""moesaic kernel: the list, a build, and one sentence for what cannot be."""

from __future__ import annotations

import json

import pytest

from moesaic.cli.app import main


def test_the_list_names_kernels_configurations_and_reasons(capsys):
    assert main(["kernel", "list", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert found["name"] == "grouped-gemm"
    assert found["configs"]["down-64x128"]["BM"] == 64
    assert all(one["reason"] for one in found["constraints"])
    assert main(["kernel", "list"]) == 0
    assert "gate-up-64x64" in capsys.readouterr().out


def test_a_build_reports_resources_and_the_verdict(capsys, tmp_path, monkeypatch):
    pytest.importorskip("cupy", reason="needs cupy and NVRTC: pip install 'moesaic[gpu]'")
    monkeypatch.setenv("MOESAIC_CACHE", str(tmp_path))
    words = ["kernel", "build", "grouped-gemm", "--config", "down-16x128", "--set", "STAGES=6"]
    # 6 stages of 18 KiB are 108 KiB: too much for sm_89, fine on sm_90.
    assert main([*words, "--arch", "sm_89,sm_90", "--json"]) == 0
    small, large = json.loads(capsys.readouterr().out)
    assert (small["launchable"], large["launchable"]) == (False, True)
    assert "110592 bytes of shared memory" in small["gate"]["refusals"][0]
    assert large["resources"]["registers"] > 32
    assert main([*words, "--arch", "sm_89"]) == 0
    assert "sm_89 gives it 101376" in capsys.readouterr().out


BUILD = ["grouped-gemm", "--arch", "sm_90"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["grouped-gem", "--arch", "sm_90"], "did you mean grouped-gemm"),
        (["grouped-gemm", "--arch", "sm_10"], "no architecture is called 'sm_10'"),
        ([*BUILD, "--set", "BM=64"], "name it with --config"),
        ([*BUILD, "--config", "down-16x128", "--set", "BM"], "NAME=VALUE"),
        ([*BUILD, "--config", "down-16x128", "--set", "BM=48"], "one of 16"),
    ],
)
def test_what_cannot_be_gives_one_sentence_and_code_2(capsys, words, sentence):
    assert main(["kernel", "build", *words]) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1


def test_without_a_gpu_a_check_says_so_in_one_sentence(capsys):
    from moesaic.base import BadInput
    from moesaic.kernels.runners import local_arch

    try:
        here = local_arch()
    except BadInput:
        here = ""
    code = main(["kernel", "check", "grouped-gemm", "--json"])
    shown = capsys.readouterr()
    if here:
        assert code == 0
        assert {one["arch"] for one in json.loads(shown.out)} == {here}
    else:
        assert code == 2
        assert "GPU" in shown.err
        assert shown.err.count("\n") == 1
