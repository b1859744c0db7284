"""The GPU runner against a cupy that has no GPU: what is launched, and what is read back."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from moesaic.base import BadInput
from moesaic.kernels import KERNELS, Launch, build, execute, target

pytest.importorskip("cupy", reason="needs cupy and NVRTC: pip install 'moesaic[gpu]'")

KERNEL = KERNELS["split-reduce"]
CONFIG = next(iter(KERNEL.configs))


class Error(RuntimeError):
    pass


class Event:
    now: ClassVar[float] = 0.0

    def record(self):
        Event.now += 1.0  # milliseconds: every launch seems to take two
        self.at = Event.now

    def synchronize(self):
        pass


class Module:
    """Executes on the CPU what it is given as a cubin, by the build that it came from."""

    made: ClassVar[Any] = None
    launches: ClassVar[list[Any]] = []
    fails: ClassVar[bool] = False

    def __init__(self, path: str):
        assert Path(path).read_bytes() == Module.made.cubin

    def get_function(self, name: str):
        assert name == Module.made.entry
        return self

    def __call__(self, grid, block, given, *, shared_mem):
        if Module.fails:
            raise Error("CUDA_ERROR_ILLEGAL_ADDRESS: an illegal memory access\nmore")
        Module.launches.append((grid, block, shared_mem))
        names = [f"{i}" for i in range(len(given))]
        launch = Launch(grid=grid, threads=block[0], shared_bytes=shared_mem)
        found = execute(Module.made, launch, dict(zip(names, given, strict=True)))
        for name, one in zip(names, given, strict=True):
            if isinstance(one, np.ndarray):
                one[...] = found.outputs[name]


@pytest.fixture
def gpu(monkeypatch, tmp_path):
    """A machine with one H100, as far as cupy tells."""
    monkeypatch.setenv("MOESAIC_CACHE", str(tmp_path))
    Module.made = build(KERNEL, CONFIG, "sm_90a")
    Module.launches, Module.fails = [], False
    properties = {"name": b"H100", "major": 9, "minor": 0}
    runtime = types.SimpleNamespace(
        getDeviceCount=lambda: 1,
        getDeviceProperties=lambda device: properties,
        driverGetVersion=lambda: 13000,
        CUDARuntimeError=Error,
    )
    cuda = types.SimpleNamespace(
        nvrtc=sys.modules["cupy.cuda"].nvrtc,
        runtime=runtime,
        driver=types.SimpleNamespace(CUDADriverError=Error),
        Event=Event,
        get_elapsed_time=lambda start, stop: stop.at - start.at,
    )
    cupy = types.SimpleNamespace(
        array=lambda given, order: np.array(given, order=order),
        asnumpy=lambda one: one,
        RawModule=Module,
        cuda=cuda,
    )
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.setitem(sys.modules, "cupy.cuda", cuda)
    return properties


def test_the_gpu_of_the_machine_names_the_target_that_it_runs(gpu):
    from moesaic.kernels.runners import local_gpu

    here = local_gpu()
    assert (here.name, here.arch, here.driver) == ("H100", "sm_90a", "13000")
    gpu["major"] = 7
    with pytest.raises(BadInput, match="compute capability"):
        local_gpu()


def test_what_is_right_is_timed_on_each_shape(gpu):
    from moesaic.kernels.runners import measure
    from moesaic.kernels.runners.gpu import REPEATS, WARM_UPS

    wanted = target(KERNEL, CONFIG, "sm_90a")
    (found,) = measure([wanted])
    assert (found.verdict, found.reason) == ("right", "")
    assert found.cubin_hash == Module.made.cubin_hash
    assert found.differing == dict.fromkeys(wanted.shapes, 0)  # both are the executor here
    assert found.seconds == dict.fromkeys(wanted.shapes, pytest.approx(1e-3))
    assert len(Module.launches) == len(wanted.shapes) * (1 + WARM_UPS + REPEATS)
    usual = KERNEL.launch(wanted.config, KERNEL.shapes[wanted.shapes[0]])
    assert Module.launches[0] == (usual.grid, (usual.threads, 1, 1), usual.shared_bytes)


def test_numbers_that_the_executor_makes_otherwise_are_counted(gpu, monkeypatch):
    from moesaic.kernels.runners import gpu as runner

    def otherwise(*words, **more):
        found = execute(*words, **more)
        found.outputs["out"].ravel()[:2] ^= 1
        return found

    monkeypatch.setattr(runner, "execute", otherwise)
    (found,) = runner.measure([target(KERNEL, CONFIG, "sm_90a").on_shape("usual")])
    assert found.differing == {"usual": 2}


def test_what_the_gpu_reports_is_a_fault_and_nothing_is_timed(gpu):
    from moesaic.kernels.runners import measure

    Module.fails = True
    (found,) = measure([target(KERNEL, CONFIG, "sm_90a")])
    assert (found.verdict, found.seconds) == ("faulty", {})
    assert "CUDA_ERROR_ILLEGAL_ADDRESS: an illegal memory access" in found.reason
