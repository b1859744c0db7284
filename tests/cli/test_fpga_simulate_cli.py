"""Does `moesaic fpga simulate` show an image in time, and refuse what it cannot show?"""

import json

import pytest

from moesaic.cli.app import main

ASK = ["fpga", "simulate", "ubimoe", "--on", "zcu102", "--model", "m3vit-tiny"]
ROUTING = "examples/data/tiny_mixtral_E16k2_seed0.npz"


def said(capsys, *words):
    code = main([*words])
    found = capsys.readouterr()
    return code, found.out, found.err


def test_an_image_is_shown_kernel_by_kernel_and_as_a_timeline(capsys, tmp_path):
    trace, out = tmp_path / "trace.json", tmp_path / "found.json"
    words = ["--tokens", "9", "--trace", str(trace), "--out", str(out)]
    code, shown, _ = said(capsys, *ASK, *words)
    assert code == 0
    for name in ("experts", "attention", "simulated", "closed form, full overlap", "memory bus"):
        assert name in shown
    (one,) = json.loads(out.read_text())["simulations"]
    assert sum(one["kernels_s"].values()) == pytest.approx(one["seconds"])
    assert one["evidence"] == "simulated"
    events = json.loads(trace.read_text())["traceEvents"]
    last = max(event["ts"] + event["dur"] for event in events if event["ph"] == "X")
    assert last <= one["seconds"] * 1e6 * (1 + 1e-9)
    assert any(event["name"].startswith("layer 1, expert") for event in events)


def test_edge_moes_fault_is_told_from_the_graph_and_by_its_waits(capsys):
    words = ["edge-moe" if word == "ubimoe" else word for word in ASK]
    code, shown, _ = said(capsys, *words, "--tokens", "9", "--one-expert")
    assert code == 0
    # Full queues of six layers, two matrices each, are read and not written.
    assert "from the graph: linear.index is unbalanced: linear.deal writes" in shown
    assert "linear.collect waits for tokens in linear.index (empty)" in shown
    assert "simulated" not in shown


def test_a_design_of_ones_own_comes_from_a_file(capsys, tmp_path):
    path = tmp_path / "own.toml"
    path.write_text('design = "ubimoe"\nscore_rows = 4\n')
    words = [str(path) if word == "ubimoe" else word for word in ASK]
    code, shown, _ = said(capsys, *words, "--tokens", "9")
    assert code == 0
    assert "deadlock in cycle" in shown
    assert "qk waits for room in scores (full, 4 of 4), which av reads" in shown


def test_recorded_routing_decides_the_queues(capsys):
    code, shown, _ = said(capsys, *ASK, "--tokens", "9", "--counts", ROUTING, "--json")
    assert code == 0
    recorded = json.loads(shown)["simulations"][0]["cycles"]
    _, shown, _ = said(capsys, *ASK, "--tokens", "9", "--json")
    assert recorded != json.loads(shown)["simulations"][0]["cycles"]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--tokens", "9,17", "--trace", "t.json"], "is of one image size"),
        (["--images", "3", "--tokens", "9"], "must be 1 or 2"),
        (["--one-expert", "--counts", ROUTING], "choose one"),
        (["--tokens", "9", "--counts", ROUTING, "--image", "256"], "must lie below"),
        (["--tokens", "9", "--image", "3"], "go with --counts"),
        (["--tokens", "9", "--out", "."], "is a folder"),
        (["--tokens", "1048576"], "is not simulated"),
        (["--clock", "1e308 Hz"], "1 kHz to 100 GHz"),
        (["--tokens", "1"], "must lie between 2"),
        (["--clock", "3 GB"], "--clock"),
        (["--on", "duplex"], "is no FPGA"),
    ],
)
def test_what_is_not_simulated_is_told_in_a_sentence(capsys, words, why):
    code, _, complaint = said(capsys, *ASK, *words)
    assert code == 2
    assert why in complaint


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('design = "ubi"', "must be edge-moe or ubimoe"),
        ('design = "ubimoe"\ntinn = 4', "tinn"),
        ('design = "ubimoe"\ntin = 0', "tin"),
        ('design = "ubimoe"\nlinear_units = 40', "too many"),
        ('design = "ubimoe"\npatch_inputs = 999999999999', "patch_inputs"),
        ('design = "ubimoe"\nmemory_latency_s = 1e308', "memory_latency_s"),
    ],
)
def test_a_design_that_is_none_is_told_with_its_file(capsys, tmp_path, text, why):
    path = tmp_path / "own.toml"
    path.write_text(text)
    code, _, complaint = said(capsys, "fpga", "simulate", str(path), *ASK[3:], "--tokens", "9")
    assert code == 2
    assert why in complaint
