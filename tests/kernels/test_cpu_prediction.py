"""The model of the CPU kernel: what its loops cost, counted by hand, and the roofline."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from moesaic.hardware import Cpu, Memory
from moesaic.kernels.library.cpu_experts import CpuShape, default
from moesaic.kernels.library.cpu_layer import rounds
from moesaic.kernels.prediction.cpu import CpuCosts, bound_s, predicted
from moesaic.kernels.prediction.cpu_fit import Measured, fit
from moesaic.kernels.runners.cpu import space

SHAPE = CpuShape(hidden=512, inter=256, experts=4, top_k=2, tokens=24)
CPU = Cpu(
    name="two cores",
    vendor="tests",
    cores=2,
    isa="x86_64 avx2 avx512f",
    memory=Memory(technology="unknown", capacity_bytes=1e9, bandwidth_bytes_per_s=1e11),
    peak_flops_per_s={"fp32": 64e9},
    core_flops_per_s=32e9,
)
UNIT_S = 32 / 32e9
"""A multiply-add of 16 floats at the core's peak."""
FREE = CpuCosts(**dict.fromkeys(CpuCosts.__struct_fields__, 0.0))


def seconds(costs=FREE, shape=SHAPE, **changes):
    config = {**default(CPU, shape), **changes}
    return predicted([config], shape, rounds(shape, 0, 0), CPU, costs)[0]


def test_where_nothing_else_costs_the_peak_is_reached():
    assert seconds() == pytest.approx(SHAPE.flops / 64e9)
    assert seconds(THREADS=1) == pytest.approx(2 * seconds())


def test_a_wait_for_memory_is_counted_once_for_each_line_of_the_weights():
    far = msgspec.structs.replace(FREE, far=5.0)
    busy = np.count_nonzero(np.diff(rounds(SHAPE, 0, 0)))
    lines = busy * SHAPE.expert_bytes / 64
    changed: list[dict[str, Any]] = [{}, {"MR": 1}, {"FUSE": 1, "NR": 2}]
    for changes in changed:
        waited = seconds(far, **changes) - seconds(**changes)
        assert waited == pytest.approx(5.0 * lines * UNIT_S / 2)
    assert seconds(far, LAYOUT=1) == pytest.approx(seconds(LAYOUT=1))


def test_the_end_of_a_stretch_costs_a_fold_only_where_vectors_lie_along_the_depth():
    ends = msgspec.structs.replace(FREE, fold=3.0)
    sums = SHAPE.rows * (2 * SHAPE.inter * 2 + SHAPE.hidden)  # 512 deep is two stretches of 256
    folded = seconds(ends, KC=256) - seconds(KC=256)
    assert folded == pytest.approx(3.0 * sums * UNIT_S / 2)
    assert seconds(ends, LAYOUT=1) == pytest.approx(seconds(LAYOUT=1))


def test_a_step_lasts_as_long_as_its_slowest_part():
    latency = msgspec.structs.replace(FREE, latency=16.0)
    even = msgspec.structs.replace(SHAPE, experts=2)  # 24 rows each: all tiles are full
    assert seconds(latency, even) == pytest.approx(seconds(shape=even))  # 4 x 4 sums hide it
    assert seconds(latency, even, MR=1, NR=1) == pytest.approx(16 * seconds(shape=even))


def test_threads_together_are_not_faster_than_the_memory():
    slow = msgspec.structs.replace(
        CPU, memory=msgspec.structs.replace(CPU.memory, bandwidth_bytes_per_s=1e9)
    )
    config, starts = default(CPU, SHAPE), rounds(SHAPE, 0, 0)
    found = predicted([config], SHAPE, starts, slow, CpuCosts())
    assert found[0] == bound_s(SHAPE, starts, slow) > seconds(CpuCosts())


def test_the_roofline_is_that_of_memory_for_few_tokens_and_of_the_cores_for_many():
    few = msgspec.structs.replace(SHAPE, tokens=1)
    starts = rounds(few, 0, 0)
    bytes_moved = 2 * SHAPE.expert_bytes + 4 * 2 * (2 * 512 + 2 * 256)
    assert bound_s(few, starts, CPU) == pytest.approx(bytes_moved / 1e11)
    many = msgspec.structs.replace(SHAPE, tokens=1000)
    assert bound_s(many, rounds(many, 0, 0), CPU) == pytest.approx(many.flops / 64e9)


def test_the_costs_of_a_machine_are_found_from_a_few_of_its_configurations():
    true = msgspec.structs.replace(CpuCosts(), far=20.0, load=1.2, add=4.0)
    made, starts = space(CPU, SHAPE), rounds(SHAPE, 0, 0)
    configs = [made.config(row) for row in range(0, len(made), 9)]
    sample = Measured(
        shape=SHAPE,
        starts=starts,
        configs=configs,
        seconds=predicted(configs, SHAPE, starts, CPU, true),
    )
    before = np.abs(sample.errors(CPU, CpuCosts())).mean()
    after = np.abs(sample.errors(CPU, fit([sample], CPU, CpuCosts()))).mean()
    assert after < 0.2 * before
