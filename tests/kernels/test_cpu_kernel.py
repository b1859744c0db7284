"""The experts' kernel on the CPU: it is right in every form, and what is wrong is seen."""

from __future__ import annotations

import ctypes
import shutil

import numpy as np
import pytest

from moesaic.base import BadInput
from moesaic.hardware import Cpu, Memory
from moesaic.kernels.compiled import cpp
from moesaic.kernels.compiled.compiler import NoCompiler
from moesaic.kernels.library.cpu_experts import CpuShape, default
from moesaic.kernels.runners import cpu as cpu_runner
from moesaic.kernels.runners.cpu import CpuRunner

TINY = CpuShape(hidden=128, inter=64, experts=3, top_k=2, tokens=9)
DEEP = CpuShape(hidden=512, inter=64, experts=2, top_k=1, tokens=5)


@pytest.fixture(scope="session")
def compiler():
    try:
        return cpp.compiler()
    except NoCompiler as fault:
        pytest.skip(str(fault))


@pytest.fixture
def runner(compiler, monkeypatch):
    """Of a shape, with a few microseconds of measuring."""
    # Twice the last cache of a server would take a second to read.
    monkeypatch.setattr(cpu_runner, "last_cache_bytes", lambda: 1 << 16)
    monkeypatch.setattr(cpu_runner, "local_cpu", machine)
    return lambda shape=TINY: CpuRunner(shape, budget_s=0)


def machine():
    """This one's instruction set with two cores; nothing is probed."""
    from moesaic.hardware.local import ISA_FLAGS, processor

    _, flags = processor()
    return Cpu(
        name="local",
        vendor="tests",
        cores=2,
        isa=" ".join(flag for flag in ISA_FLAGS if flag in flags),
        memory=Memory(technology="unknown", capacity_bytes=1e9, bandwidth_bytes_per_s=1e10),
        peak_flops_per_s={"fp32": 1e11},
    )


FORMS = {
    "default": {},
    "panels": {"LAYOUT": 1, "NR": 2, "MR": 6},
    "fused": {"FUSE": 1, "NR": 1, "UNROLL": 4, "PREFETCH": 32},
    "fused-panels": {"LAYOUT": 1, "FUSE": 1, "NR": 1, "MR": 4, "UNROLL": 4, "THREADS": 1},
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_right_within_the_derived_bound(runner, form):
    made = runner()
    trial = made(made.space.row({**default(made.cpu, TINY), **FORMS[form]}))
    assert (trial.status, trial.reason) == ("ok", "")
    assert trial.facts["error_over_bound"] <= 1
    assert trial.repeats >= cpu_runner.LEAST


def test_the_depth_in_stretches_gives_the_same_numbers_within_the_bound(runner):
    made = runner(DEEP)
    kept = [row for row in range(len(made.space)) if made.space.config(row)["KC"] == 256]
    assert made(kept[0]).status == "ok"


def test_a_fault_put_into_the_source_is_wrong_numbers(runner, monkeypatch, tmp_path):
    folder = tmp_path / "cpu"
    shutil.copytree(cpp.FOLDER, folder)
    source = folder / "experts.cpp"
    right = "row + R <= rows"
    assert source.read_text().count(right) == 1
    source.write_text(source.read_text().replace(right, "row + R < rows"))  # the last row is lost
    made = runner()
    monkeypatch.setattr(cpp, "FOLDER", folder)
    trial = made(0)
    assert (trial.status, trial.seconds) == ("wrong", float("inf"))
    assert "worst error" in trial.reason


def test_what_does_not_compile_says_where(runner, monkeypatch, tmp_path):
    made = runner()
    (tmp_path / "experts.cpp").write_text("int one;\nint two\n")
    monkeypatch.setattr(cpp, "FOLDER", tmp_path)
    trial = made(0)
    assert trial.status == "compile"
    assert trial.reason.startswith("experts.cpp:2: does not compile: expected")


def test_a_build_is_kept(compiler, monkeypatch, tmp_path):
    monkeypatch.setenv("MOESAIC_CACHE", str(tmp_path / "cache"))
    source = tmp_path / "one.cpp"
    source.write_text('extern "C" int one() { return ONE; }\n')
    monkeypatch.setattr(cpp, "FOLDER", tmp_path)
    first, compiled = cpp.shared_object("one.cpp", {"ONE": 1})
    assert compiled
    assert cpp.shared_object("one.cpp", {"ONE": 1}) == (first, False)
    assert cpp.shared_object("one.cpp", {"ONE": 2})[1]
    assert cpp.load(first).one() == 1


def test_without_a_compiler_it_is_said_how_to_get_one(monkeypatch):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", "")
    cpp.compiler.cache_clear()
    with pytest.raises(NoCompiler, match=r"apt-get install g\+\+"):
        cpp.compiler()
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(NoCompiler, match="set CXX"):
        cpp.compiler()
    cpp.compiler.cache_clear()


def test_the_exponential_is_off_by_less_than_two_last_places(compiler, monkeypatch, tmp_path):
    shutil.copy(cpp.FOLDER / "vector.hpp", tmp_path)
    (tmp_path / "exponential.cpp").write_text(
        '#include "vector.hpp"\n'
        'extern "C" void exponentials(const float* x, float* out, long n) {\n'
        "  for (long i = 0; i < n; i += VECTOR) store(out + i, exponential(load(x + i)));\n"
        "}\n"
    )
    monkeypatch.setattr(cpp, "FOLDER", tmp_path)
    built = cpp.load(cpp.shared_object("exponential.cpp", {"VECTOR": 4})[0])
    x = np.linspace(-87, 88, 2**20, dtype=np.float32)
    out = np.empty_like(x)
    built.exponentials(
        ctypes.c_void_p(x.ctypes.data), ctypes.c_void_p(out.ctypes.data), ctypes.c_long(len(x))
    )
    exact = np.exp(x.astype(np.float64))
    assert np.abs((out - exact) / np.spacing(exact.astype(np.float32))).max() < 2


def test_rounds_take_the_experts_that_were_read_longest_ago():
    from moesaic.kernels.library.cpu_layer import rounds

    shape = CpuShape(hidden=64, inter=64, experts=6, top_k=2, tokens=1)
    starts = rounds(shape, 0, 3 * 2 * shape.expert_bytes)
    assert np.diff(starts).tolist() == [[1, 1, 0, 0, 0, 0], [0, 0, 1, 1, 0, 0], [0, 0, 0, 0, 1, 1]]


def test_a_shape_that_no_configuration_serves_names_the_rule(runner):
    with pytest.raises(BadInput, match=r"hidden % NC == 0 .*: columns are shared out"):
        runner(CpuShape(hidden=100, inter=64, experts=2, top_k=1, tokens=1))
    with pytest.raises(BadInput, match="top_k of at most experts"):
        CpuShape(hidden=64, inter=64, experts=2, top_k=3, tokens=1)
    with pytest.raises(BadInput, match="more than"):
        CpuShape(hidden=4096, inter=14336, experts=8, top_k=2, tokens=1)
    with pytest.raises(BadInput, match="its rows would take more than"):
        CpuShape(hidden=64, inter=64, experts=2, top_k=1, tokens=10**8)
