"""A part measured on a GPU, where the GPU is a cupy that has none: cubins are executed on the CPU,
every launch seems to take ten microseconds."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from moesaic.base import BadInput
from moesaic.kernels import KERNELS, Launch, build, execute
from moesaic.kernels.compiled.compiler import load_nvrtc
from moesaic.kernels.library.decode import DECODE, DecodeShape
from moesaic.kernels.library.grouped_gemm import GROUPED_GEMM, GroupedGemmShape
from moesaic.kernels.library.part import Part
from moesaic.kernels.runners import gpu_part
from moesaic.kernels.runners.gpu_clock import LEAST_REPLAYS, MOST_REPLAYS, time_on_gpu
from moesaic.kernels.search.space import Space

pytest.importorskip("cupy", reason="needs cupy and NVRTC: pip install 'moesaic[gpu]'")

LAUNCH_MS = 0.01
UNITS, CACHE = 3, 290_000
GATE_UP = Part(
    model="toy",
    product="gate-up",
    tokens=9,
    ep=1,
    kernel=GROUPED_GEMM,
    fixed={"DTYPE": 0, "FUSE_SWIGLU": 1, "GATHER": 1},
    shape=GroupedGemmShape(rows=(5, 0, 9, 4), depth=256, columns=128),
)
DOWN = msgspec.structs.replace(
    GATE_UP, product="down", fixed={"DTYPE": 0, "FUSE_SWIGLU": 0, "GATHER": 0}
)


class Array(np.ndarray):
    """What lies on the GPU."""

    def get(self):
        return np.asarray(self)


class Gpu:
    """launches: (entry, grid, threads, arguments) in order; those of a graph each time it runs."""

    def __init__(self):
        self.launches: list[Any] = []
        self.recorded: list[Any] | None = None
        self.graphs: list[list[Any]] = []
        self.now_ms = 0.0
        self.free = 10**9
        self.spoils = False
        self.builds: list[Any] = []

    def launch(self, one, run):
        if self.recorded is not None:
            self.recorded.append(one)
            return
        self.launches.append(one)
        self.now_ms += LAUNCH_MS
        run()

    def module(self, path):
        cubin = Path(path).read_bytes()
        made = next(one for one in self.builds if one.cubin == cubin)

        def function(grid, block, given, *, shared_mem):
            def run():
                launch = Launch(grid=grid, threads=block[0], shared_bytes=shared_mem)
                named = {f"{i}": one for i, one in enumerate(given)}
                found = execute(made, launch, named)
                assert not found.faults
                for name, one in named.items():
                    if isinstance(one, np.ndarray):
                        one[...] = 0 if self.spoils else found.outputs[name]

            self.launch((made.entry, grid, block[0], given), run)

        return types.SimpleNamespace(
            get_function=lambda name: Function(function, made.entry == name)
        )

    def stream(self, non_blocking):
        return Stream(self)


class Function:
    def __init__(self, call, known):
        assert known
        self.call, self.max_dynamic_shared_size_bytes = call, 0

    def __call__(self, grid, block, given, *, shared_mem):
        assert self.max_dynamic_shared_size_bytes == shared_mem
        self.call(grid, block, given, shared_mem=shared_mem)


class Stream:
    def __init__(self, gpu):
        self.gpu = gpu

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def synchronize(self):
        pass

    def begin_capture(self):
        self.gpu.recorded = []

    def end_capture(self):
        recorded, self.gpu.recorded = self.gpu.recorded, None
        self.gpu.graphs.append(recorded)

        def launch():
            self.gpu.now_ms += LAUNCH_MS * len(recorded)

        return types.SimpleNamespace(launch=launch)


@pytest.fixture
def gpu(monkeypatch):
    """A machine with one small H100, as far as cupy tells."""
    here, nvrtc = Gpu(), load_nvrtc()

    class Event:
        def record(self):
            self.at = here.now_ms

        def synchronize(self):
            pass

    properties = {
        "name": b"H100",
        "major": 9,
        "minor": 0,
        "multiProcessorCount": UNITS,
        "l2CacheSize": CACHE,
    }
    runtime = types.SimpleNamespace(
        getDeviceCount=lambda: 1,
        getDeviceProperties=lambda device: properties,
        driverGetVersion=lambda: 13000,
        memGetInfo=lambda: (here.free, 10**9),
    )
    cuda = types.SimpleNamespace(
        nvrtc=nvrtc,
        runtime=runtime,
        Event=Event,
        Stream=here.stream,
        get_elapsed_time=lambda start, stop: stop.at - start.at,
    )
    cupy = types.SimpleNamespace(
        asarray=lambda given: np.array(given).view(Array),
        resize=lambda given, shape: np.resize(given, shape).view(Array),
        empty=lambda shape, dtype: np.empty(shape, dtype).view(Array),
        RawModule=here.module,
        cuda=cuda,
    )
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.setitem(sys.modules, "cupy.cuda", cuda)
    monkeypatch.setattr(gpu_part, "POOL", 10_007)

    def kept(*given):
        here.builds.append(build(*given))
        return here.builds[-1]

    monkeypatch.setattr(gpu_part, "build", kept)
    return here


def runner(part, *names, **changes):
    """Over registered configurations."""
    configs = [{**part.kernel.configs[name], **changes} for name in names]
    free = [{k: v for k, v in one.items() if k not in part.fixed} for one in configs]
    return gpu_part.GpuRunner(part, Space.of(part.kernel.name, free), budget_s=0)


def arrays(given):
    return [one for one in given if isinstance(one, np.ndarray)]


def test_what_is_right_is_timed_by_one_turn_of_its_launches(gpu):
    here = runner(GATE_UP, "gate-up-16x64-gather")
    trial = here(0)
    assert (trial.status, trial.reason) == ("ok", "")
    assert trial.seconds == pytest.approx(1e-3 * LAUNCH_MS)
    assert trial.repeats == LEAST_REPLAYS
    assert trial.facts["registers"] > 0
    assert trial.facts["blocks"] >= 1
    assert here.evidence == "measured-here"
    assert here.about == {
        "kernel": "grouped-gemm",
        "work": "toy gate-up, 9 tokens",
        "gpu": "H100",
        "arch": "sm_90a",
        "driver": "13000",
    }


def test_the_turns_touch_four_times_the_cache_and_follow_each_other_in_the_graph(gpu):
    runner(GATE_UP, "gate-up-16x64-gather")(0)
    (graph,) = gpu.graphs
    weights = [id(arrays(given)[1]) for _, _, _, given in graph]
    turns = list(dict.fromkeys(weights))
    assert len(turns) == -(-4 * CACHE // GATE_UP.weight_bytes) == 3
    assert weights == turns * (len(weights) // 3)
    assert len(weights) > 3


def test_a_gpu_short_of_memory_holds_fewer_turns_and_at_last_none(gpu):
    one = gpu_part._Data(GATE_UP, 0).bytes
    gpu.free = int(2.1 * one / 0.8)
    runner(GATE_UP, "gate-up-16x64-gather")(0)
    assert len({id(arrays(given)[1]) for _, _, _, given in gpu.graphs[0]}) == 2
    gpu.free = one
    with pytest.raises(BadInput, match=f"needs {one} bytes of the GPU's memory; {one} are free"):
        runner(GATE_UP, "gate-up-16x64-gather")


@pytest.mark.parametrize("splits", [2, gpu_part.MOST_SPLITS])
def test_a_split_depth_is_two_launches_and_its_sums_are_right(gpu, splits):
    trial = runner(DOWN, "down-32x128-split2", SPLIT_K=splits, BK=32)(0)
    assert trial.status == "ok"
    assert trial.seconds == pytest.approx(2e-3 * LAUNCH_MS)
    first, second = gpu.launches[:2]
    assert (first[0], second[0]) == ("grouped_gemm", KERNELS["split-reduce"].entry)
    numbers = 18 * 128
    assert second[1:3] == ((-(-numbers // 1024), 1, 1), 256)
    sums, out, count = second[3]
    assert any(one is sums for one in arrays(first[3]))
    assert out.shape == (18, 128)
    assert count == numbers


def test_a_kernel_that_walks_has_as_many_blocks_as_the_gpu_holds(gpu):
    trial = runner(GATE_UP, "gate-up-16x64-gather", PERSISTENT=1)(0)
    assert trial.status == "ok"
    assert gpu.launches[0][1] == (UNITS * trial.facts["blocks"], 1, 1)


@pytest.mark.parametrize("name", ["gate-up-4-gather", "down-4"])
def test_the_decode_kernel_is_measured_too(gpu, name):
    part = GATE_UP if name.startswith("gate") else DOWN
    shape = DecodeShape(rows=(2, 0, 4), depth=256, columns=64)
    decode = msgspec.structs.replace(part, kernel=DECODE, shape=shape, tokens=3)
    trial = runner(decode, name)(0)
    assert (trial.status, trial.reason) == ("ok", "")
    assert {entry for entry, *_ in gpu.launches} == {DECODE.entry}


def test_a_wrong_result_is_wrong_and_is_not_timed(gpu):
    gpu.spoils = True
    trial = runner(GATE_UP, "gate-up-16x64-gather")(0)
    assert trial.status == "wrong"
    assert "times its bound away" in trial.reason
    assert not gpu.graphs


def test_a_result_that_was_not_written_is_wrong(gpu, monkeypatch):
    monkeypatch.setattr(gpu, "launch", lambda one, run: None)
    trial = runner(GATE_UP, "gate-up-16x64-gather")(0)
    assert (trial.status, trial.reason) == ("wrong", "the result is inf times its bound away")


def test_what_does_not_compile_or_cannot_be_launched_is_a_trial_with_its_reason(gpu, monkeypatch):
    here = runner(GATE_UP, "gate-up-16x64-gather", STAGES=9)
    trial = here(0)
    assert trial.status == "compile"
    assert "STAGES: must be one of" in trial.reason
    verdict = types.SimpleNamespace(refusals=("too many registers", "too much memory"))
    monkeypatch.setattr(gpu_part, "gate", lambda made: verdict)
    trial = runner(GATE_UP, "gate-up-16x64-gather")(0)
    assert (trial.status, trial.reason) == ("refused", "too many registers; too much memory")
    assert not gpu.launches


def test_the_numbers_are_never_the_same_in_two_rows():
    assert all(gpu_part.POOL % divisor for divisor in range(2, 2049))
    assert gpu_part.POOL < 2049**2


def test_a_time_is_the_median_of_replays_until_the_budget_is_spent(gpu, monkeypatch):
    cupy: Any = sys.modules["cupy"]
    clock = iter(np.arange(0.0, 100.0, 0.1))
    monkeypatch.setattr(
        "moesaic.kernels.runners.gpu_clock.time",
        types.SimpleNamespace(perf_counter=lambda: float(next(clock))),
    )
    turn = lambda: gpu.launch("turn", lambda: None)  # noqa: E731
    assert time_on_gpu(cupy, [turn], 0.0).repeats == LEAST_REPLAYS
    found = time_on_gpu(cupy, [turn] * 7, 1.0)
    assert LEAST_REPLAYS < found.repeats < MOST_REPLAYS
    assert time_on_gpu(cupy, [turn], 50.0).repeats == MOST_REPLAYS
    assert found.median_s == pytest.approx(1e-3 * LAUNCH_MS)
    assert found.spread == pytest.approx(0.0)
    assert [len(graph) for graph in gpu.graphs] == [50, 49, 50]
