"""Does a systolic array, cycle by cycle, take what other simulators of such arrays report?"""

import pytest

from moesaic.base import BadInput
from moesaic.cli.app import main
from moesaic.cli.fpga_gemm import gemm as command
from moesaic.simulator.fpga.accelerators.gemm import Gemm, simulate_gemm

SCALESIM = [
    ("ws", 197, 384, 192, 69983, 81.071),
    ("os", 197, 384, 192, 69263, 81.914),
    ("is", 197, 384, 192, 67079, 84.581),
    ("ws", 32, 32, 32, 311, 41.158),
]
"""SCALE-Sim 3.0.0, 16 x 16: dataflow, m, n, k, stall-free cycles, utilization in percent."""


@pytest.mark.parametrize(("dataflow", "m", "n", "k", "cycles", "percent"), SCALESIM)
def test_an_array_that_never_waits_takes_scalesims_cycles(dataflow, m, n, k, cycles, percent):
    run = simulate_gemm(Gemm(m=m, n=n, k=k, rows=16, columns=16, dataflow=dataflow))
    assert (run.cycles, run.stalled) == (cycles, 0)
    assert run.utilization * 100 == pytest.approx(percent, abs=1e-3)


def test_where_memory_rules_the_array_takes_what_zigzag_reports():
    """zigzag-dse 3.9.1, tpu_like: 7,479,359 cycles of a 64 x 14336 x 4096 product, 8 B a cycle."""
    asked = Gemm(m=64, n=14336, k=4096, rows=32, columns=32, prefetch=True, bytes_per_cycle=8)
    run = simulate_gemm(asked)
    assert abs(run.cycles / 7479359 - 1) < 0.05
    assert run.stalled > run.cycles / 3


def test_a_faster_memory_never_slows_an_array():
    cycles = [
        simulate_gemm(
            Gemm(m=20, n=64, k=64, rows=8, columns=8, prefetch=True, bytes_per_cycle=rate)
        ).cycles
        for rate in (1, 2, 3.5, 8, 64)
    ]
    assert cycles == sorted(cycles, reverse=True)
    assert cycles[-1] == 64 * 20 + 14 - 1


@pytest.mark.parametrize(
    ("shape", "words", "said"),
    [
        ("12x12", {}, "must be 3 numbers"),
        ("12x12x0", {}, "k: expected `int` >= 1"),
        ("4x4x4", {"dataflow": "rs"}, "must be of os, ws, is"),
        ("4x4x4", {"prefetch": True}, "go with the dataflow ws"),
        ("4x4x4", {"array": "16"}, "must be 2 numbers"),
        ("9999999x9999999x9999999", {}, "are not run"),
        ("4x4x4", {"dataflow": "ws", "bytes_per_cycle": 1e-310}, "must lie between 0.001"),
    ],
)
def test_what_no_array_is_told_plainly(shape, words, said):
    with pytest.raises(BadInput, match=said):
        command(shape, **({"array": "16x16", "dataflow": "os,ws"} | words))


def test_the_command_shows_every_dataflow(capsys):
    assert main(["fpga", "gemm", "197x384x192"]) == 0
    shown = capsys.readouterr().out
    for cycles in ("69,983", "69,263", "67,079"):
        assert cycles in shown
