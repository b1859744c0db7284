"""The cubins on the GPU of this machine: their numbers against float64, then their time."""

from __future__ import annotations

import functools
import importlib
import statistics
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...base import BadInput
from ..compiled.arches import target_for
from ..compiled.build import Build, build, build_all
from ..compiled.check import Checked, check
from ..compiled.compiler import INSTALL
from ..compiled.execute import Fault, execute
from ..compiled.targets import Target
from ..library import Launch

WARM_UPS = 5
REPEATS = 30

Arguments = Mapping[str, NDArray[Any] | np.generic]


class Gpu(msgspec.Struct, frozen=True):
    """arch: the target whose cubins it runs. driver: the CUDA version that its driver serves."""

    name: str
    arch: str
    driver: str


class GpuRun(msgspec.Struct, frozen=True, kw_only=True):
    """outputs: every array argument as the launch left it. A GPU shows no more faults than its own
    error."""

    outputs: dict[str, NDArray[Any]]
    faults: tuple[Fault, ...] = ()


def local_gpu() -> Gpu:
    """The first GPU; raises BadInput where there is none that the kernels are built for."""
    try:
        runtime: Any = importlib.import_module("cupy.cuda").runtime
        found = runtime.getDeviceProperties(0) if runtime.getDeviceCount() else None
        driver = str(runtime.driverGetVersion())
    except ImportError:
        raise BadInput(f"a GPU is reached through cupy; {INSTALL}") from None
    except Exception as fault:  # cupy has an exception of its own for each cause
        raise BadInput(f"no GPU can be used here: {str(fault).splitlines()[0]}") from None
    if found is None:
        raise BadInput("no GPU is in this machine")
    name = found["name"]
    return Gpu(
        name.decode() if isinstance(name, bytes) else str(name),
        target_for(found["major"], found["minor"]),
        driver,
    )


def measure(targets: Sequence[Target], seed: int = 0) -> Iterator[Checked]:
    """Checks each target on the GPU and counts the numbers whose bits differ from the executor's,
    then times each of its shapes where it is right: the median of REPEATS launches. The inputs of a
    repeat may lie in the GPU's caches.
    """
    for _ in build_all(targets):  # by all processors, before the GPU works through them
        pass
    for one in targets:
        differing: list[int] = []
        checked = check(one, seed, functools.partial(_on_both, differing))
        shapes = one.shapes if checked.verdict == "right" else ()
        seconds = {name: _seconds(one, name, seed) for name in shapes}
        yield msgspec.structs.replace(
            checked,
            seconds=seconds,
            differing={shape.shape: n for shape, n in zip(checked.shapes, differing, strict=True)},
        )


def _on_both(
    differing: list[int], build: Build, launch: Launch, arguments: Arguments, seed: int
) -> GpuRun:
    """The run on the GPU; how many numbers the executor makes otherwise is added to the list."""
    found = on_gpu(build, launch, arguments, seed)
    executed = execute(build, launch, arguments, seed=seed).outputs
    differing.append(sum(int(np.count_nonzero(found.outputs[n] != executed[n])) for n in executed))
    return found


def on_gpu(build: Build, launch: Launch, arguments: Arguments, seed: int) -> GpuRun:
    """One launch of the cubin on copies of the arguments. seed: of no use, a GPU has its own order.

    What the GPU reports is the run's fault; no later launch of this process can then be trusted.
    """
    cupy: Any = importlib.import_module("cupy")
    given = _on_device(cupy, arguments)
    try:
        _start(loaded(cupy, build, launch), launch, given)
        outputs = {
            name: np.asarray(cupy.asnumpy(one))
            for name, one in given.items()
            if isinstance(arguments[name], np.ndarray)
        }
    except (cupy.cuda.runtime.CUDARuntimeError, cupy.cuda.driver.CUDADriverError) as fault:
        outputs = {n: np.array(one) for n, one in arguments.items() if isinstance(one, np.ndarray)}
        return GpuRun(outputs=outputs, faults=(_fault(build, str(fault)),))
    return GpuRun(outputs=outputs)


def _seconds(target: Target, name: str, seed: int) -> float:
    cupy: Any = importlib.import_module("cupy")
    shape = target.kernel.shapes[name]
    launch = target.kernel.launch(target.config, shape)
    made = build(target.kernel, target.config, target.arch)
    given = _on_device(cupy, target.kernel.problem(target.config, shape, seed).arguments)
    function = loaded(cupy, made, launch)
    start, stop = cupy.cuda.Event(), cupy.cuda.Event()
    times: list[float] = []
    for _ in range(WARM_UPS + REPEATS):
        start.record()
        _start(function, launch, given)
        stop.record()
        stop.synchronize()
        times.append(cupy.cuda.get_elapsed_time(start, stop) / 1000)
    return statistics.median(times[WARM_UPS:])


def _on_device(cupy: Any, arguments: Arguments) -> dict[str, Any]:
    return {
        name: cupy.array(given, order="C") if isinstance(given, np.ndarray) else given
        for name, given in arguments.items()
    }


def _start(function: Any, launch: Launch, given: Mapping[str, Any]) -> None:
    block = (launch.threads, 1, 1)
    function(launch.grid, block, tuple(given.values()), shared_mem=launch.shared_bytes)


def loaded(cupy: Any, build: Build, launch: Launch) -> Any:
    """The entry of the very cubin that was built, allowed the shared memory that it asks for."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "kernel.cubin"
        file.write_bytes(build.cubin)
        function = cupy.RawModule(path=str(file)).get_function(build.entry)
    function.max_dynamic_shared_size_bytes = launch.shared_bytes
    return function


def _fault(build: Build, words: str) -> Fault:
    return Fault(
        kind="trap",
        words=words.splitlines()[0],
        file="",
        line=0,
        called_from=0,
        instruction=build.entry,
        block=(0, 0, 0),
        thread=0,
        times=1,
    )
