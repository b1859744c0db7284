"""The Verilog of the blocks: clean, and its outputs are those of integer arithmetic."""

import shutil
import subprocess

import numpy as np
import pytest

from moesaic.simulator.fpga.golden import BLOCKS
from moesaic.simulator.fpga.rtl.build import VERILOG, NoSimulator, executable, verilator
from moesaic.simulator.fpga.rtl.drive import drive
from moesaic.simulator.fpga.rtl.stalls import job

needs_verilator = pytest.mark.skipif(
    shutil.which("verilator") is None,
    reason="RTL is simulated by Verilator: install the package `verilator`",
)


@needs_verilator
@pytest.mark.parametrize("top", BLOCKS)
def test_verilog_has_no_lint(top):
    words = ["verilator", "--lint-only", "-Wall", f"-I{VERILOG}", str(VERILOG / f"{top}.v")]
    done = subprocess.run(words, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@needs_verilator
@pytest.mark.parametrize("top", BLOCKS)
def test_outputs_are_those_of_integer_arithmetic_whatever_stalls(top):
    rng = np.random.default_rng(9)
    jobs = [job(BLOCKS[top].drawn(rng), rng) for _ in range(12)]
    traces = drive(executable(top), jobs)
    assert not all(trace.stuck for trace in traces)
    for each, trace in zip(jobs, traces, strict=True):
        for name, expected in each.block.outputs(each.inputs).items():
            found = trace.outputs[name]
            assert trace.stuck or len(found) == len(expected)
            np.testing.assert_array_equal(found, expected[: len(found)])


def test_without_verilator_the_package_is_named(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(NoSimulator, match="install the package `verilator`"):
        verilator.__wrapped__()
