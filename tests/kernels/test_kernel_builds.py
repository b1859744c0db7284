"""Builds without a GPU: resources, the content-addressed cache, threads, and clear refusals."""

from __future__ import annotations

import errno
import platform
import struct
from pathlib import Path
from typing import Any

import msgspec
import pytest

from moesaic.base import BadInput
from moesaic.base.files import cache_folder
from moesaic.kernels import Build, Kernel, build, gate, kernel, target
from moesaic.kernels.compiled import NotKept, build_all, targets
from moesaic.kernels.compiled.arches import ARCHES, TARGETS, arch, number, target_for
from moesaic.kernels.compiled.build import Resources, parse_resources
from moesaic.kernels.compiled.compiler import compile_source, complaint, load_nvrtc, options
from moesaic.kernels.compiled.gate import resident_blocks

GEMM = kernel("grouped-gemm")
SMALL = kernel("split-reduce")
CONFIG = next(iter(SMALL.configs))


@pytest.fixture(scope="module")
def nvrtc():
    pytest.importorskip("cupy", reason="needs cupy and NVRTC: pip install 'moesaic[gpu]'")
    return load_nvrtc()


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MOESAIC_CACHE", str(tmp_path / "cache"))


class Changed(Kernel, frozen=True, kw_only=True):
    changed: dict[str, str]

    def texts(self):
        return self.changed


def changed(one: Kernel, old: str, new: str) -> Kernel:
    """The kernel with a changed source."""
    texts = one.texts()
    assert texts[one.source].count(old) == 1
    texts[one.source] = texts[one.source].replace(old, new)
    return Changed(**msgspec.structs.asdict(one), changed=texts)


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("sm_80", "gate-up-64x64"),
        ("sm_89", "down-64x128"),
        ("sm_90a", "gate-up-16x64"),
        ("sm_120", "down-128x128"),
    ],
)
def test_a_registered_config_compiles_without_spills_and_can_be_launched(nvrtc, name, config):
    made = build(GEMM, config, name)
    assert made.cubin.startswith(b"\x7fELF")
    assert f".target {name}" in made.ptx
    assert "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32" in made.ptx
    assert "cp.async.cg.shared.global" in made.ptx
    assert made.resources.spilled_bytes == made.resources.stack_bytes == 0
    # The sums alone need this many registers of each thread.
    sums = (1 + made.config["FUSE_SWIGLU"]) * made.config["BM"] * made.config["BN"] // made.threads
    assert sums < made.resources.registers <= 255
    verdict = gate(made)
    assert verdict.launchable
    assert verdict.blocks >= 1


def code_of(cubin: bytes) -> dict[str, bytes]:
    """The instructions of an ELF file by section."""
    (at,) = struct.unpack_from("<Q", cubin, 0x28)
    size, count, names = struct.unpack_from("<HHH", cubin, 0x3A)
    headers = [struct.unpack_from("<IIQQQQ", cubin, at + i * size) for i in range(count)]
    text_at = headers[names][4]
    found = {}
    for name, _, _, _, offset, length in headers:
        start = text_at + name
        word = cubin[start : cubin.index(b"\0", start)].decode()
        if word.startswith(".text."):
            found[word] = cubin[offset : offset + length]
    return found


def test_line_numbers_change_no_instruction(nvrtc):
    config = GEMM.config("gate-up-16x64")
    words = options(config, "sm_90a")
    with_lines, without = (
        compile_source(nvrtc, GEMM.source, GEMM.texts(), [w for w in words if w != left_out])
        for left_out in ("", "-lineinfo")
    )
    assert ".loc" in with_lines.ptx
    assert ".loc" not in without.ptx
    code = code_of(with_lines.cubin)
    assert len(code[".text.grouped_gemm"]) > 1000
    assert code == code_of(without.cubin)


def test_a_build_does_not_depend_on_where_it_was_made(nvrtc, tmp_path, monkeypatch):
    first = build(SMALL, CONFIG, "sm_80", cached=False)
    monkeypatch.chdir(tmp_path)
    assert build(SMALL, CONFIG, "sm_80", cached=False) == first
    assert '"/kernels/cuda/split_reduce.cu"' in first.ptx


def test_the_cache_gives_the_same_build_and_mends_a_damaged_entry(nvrtc):
    first = build(SMALL, CONFIG, "sm_80")
    (file,) = cache_folder("kernels").iterdir()
    stamp = file.stat().st_mtime_ns
    assert build(SMALL, CONFIG, "sm_80") == first
    assert file.stat().st_mtime_ns == stamp
    whole = file.read_bytes()
    for part in (first.cubin, first.ptx.encode()):
        data = bytearray(whole)
        data[data.find(part) + 1000] ^= 0xFF
        file.write_bytes(bytes(data))
        # Made anew, and to the byte what it was: the build depends on nothing but its key.
        assert build(SMALL, CONFIG, "sm_80") == first
    for part in (b"", b"short", whole[:-1]):
        file.write_bytes(part)
        assert build(SMALL, CONFIG, "sm_80") == first
    assert file.read_bytes() == whole


def test_a_changed_launch_is_another_build(nvrtc):
    first = build(SMALL, CONFIG, "sm_80")
    more = msgspec.structs.replace(
        SMALL,
        start=lambda c, s: msgspec.structs.replace(SMALL.start(c, s), shared_bytes=4096),
    )
    assert build(more, CONFIG, "sm_80").dynamic_shared_bytes == 4096
    assert build(SMALL, CONFIG, "sm_80") == first


def test_what_cannot_be_kept_is_built_all_the_same(nvrtc, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("MOESAIC_CACHE", str(tmp_path / "file"))
    with pytest.warns(NotKept, match="builds are not kept.*set MOESAIC_CACHE"):
        made = build(SMALL, CONFIG, "sm_80")
    monkeypatch.setenv("MOESAIC_CACHE", str(tmp_path / "full"))

    def full(self, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.warns(NotKept, match="no space left on device"):
        assert build(SMALL, CONFIG, "sm_80") == made
    assert list((tmp_path / "full" / "kernels").iterdir()) == []


def test_a_source_that_does_not_compile_names_the_line_the_config_and_the_architecture(nvrtc):
    texts = SMALL.texts()[SMALL.source]
    line = next(n for n, text in enumerate(texts.splitlines(), 1) if "__global__" in text)
    word = texts.splitlines()[line - 1]
    broken = changed(SMALL, word, f"int x = missing;\n{word}")
    with pytest.raises(BadInput) as fault:
        build(broken, CONFIG, "sm_90a")
    assert str(fault.value) == (
        f"split_reduce.cu:{line}: split-reduce/{CONFIG} on sm_90a: does not compile: identifier "
        '"missing" is undefined'
    )
    assert not any(cache_folder("kernels").iterdir())


def test_the_first_complaint_of_a_log_is_found():
    log = "/kernels/cuda/a.cuh(12): warning: x\n/kernels/cuda/a.cuh(17): catastrophic error: y\n"
    assert complaint(log) == ("a.cuh:17", "y")
    log = "ptxas application ptx input, line 586; error   : Feature 'z' requires .target sm_89\n"
    assert complaint(log) == ("", "Feature 'z' requires .target sm_89")
    assert complaint("no word of it") == ("", "no word of it")


def test_many_builds_come_in_order_and_one_that_fails_costs_no_other(nvrtc):
    wanted = targets(["split-reduce", "count"], ["sm_80", "sm_120"])
    broken = changed(SMALL, "__global__", "__globule__")
    wanted.insert(1, target(broken, CONFIG, "sm_80"))
    made = list(build_all(wanted, workers=2))
    assert isinstance(made[1], BadInput)
    for one, found in zip(wanted, made, strict=True):
        if isinstance(found, Build):
            assert (found.kernel, found.config, found.arch) == (
                one.kernel.name,
                dict(one.config),
                one.arch,
            )
    # In threads as one by one: the same bytes.
    assert made[0] == build(wanted[0].kernel, wanted[0].config, wanted[0].arch, cached=False)


def test_a_run_that_is_broken_off_keeps_what_it_finished(nvrtc):
    wanted = targets(["split-reduce", "count"], ["sm_80"])
    results = build_all(wanted, workers=1)
    first = next(results)
    results.close()
    assert isinstance(first, Build)
    kept = {file.name for file in cache_folder("kernels").iterdir()}
    assert first.key in kept
    assert len(kept) < len(wanted)


def test_a_rule_keeps_a_config_from_an_architecture(nvrtc):
    with pytest.raises(BadInput, match=r"down-16x128-e4m3 on sm_90a: how mma.sync rounds fp8"):
        build(GEMM, "down-16x128-e4m3", "sm_90a")
    assert build(GEMM, "down-16x128-e4m3", "sm_89").arch == "sm_89"


@pytest.mark.parametrize(
    ("system", "machine", "advice"),
    [
        ("Linux", "x86_64", r"pip install 'moesaic\[gpu\]'"),
        ("Darwin", "arm64", "wheels are for Linux on x86-64, and this is Darwin on arm64"),
    ],
)
def test_without_nvrtc_one_sentence_says_what_is_skipped_and_what_helps(
    monkeypatch, system, machine, advice
):
    monkeypatch.setattr(platform, "system", lambda: system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setitem(__import__("sys").modules, "cupy.cuda", None)
    with pytest.raises(BadInput, match=f"neither compiled nor checked here.*{advice}"):
        build(SMALL, CONFIG, "sm_80")
    with pytest.raises(BadInput, match="neither compiled nor checked"):
        build_all(targets(["count"], ["sm_80"]))


def test_the_assemblers_report_is_read_for_the_function_asked():
    log = (
        "ptxas info : Compiling entry function 'other' for 'sm_80'\n"
        "0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads\n"
        "ptxas info : Used 9 registers\n"
        "ptxas info : Compiling entry function 'mine' for 'sm_80'\n"
        "592 bytes stack frame, 640 bytes spill stores, 712 bytes spill loads\n"
        "ptxas info : Used 255 registers, used 1 barriers, 48 bytes smem, 404 bytes cmem[0]\n"
    )
    assert parse_resources(log, "mine") == Resources(255, 592, 640, 712, 48)
    with pytest.raises(BadInput, match="could not be read"):
        parse_resources("ptxas info : nothing", "mine")


def made_up(**more: Any) -> Build:
    """A build for the gate."""
    parts: dict[str, Any] = {"registers": 64, "spill": 0, "shared": 32768, "threads": 128} | more
    return Build(
        kernel="k",
        entry="k",
        config={},
        arch=parts.get("arch", "sm_80"),
        key="",
        cubin_hash="",
        compiler="",
        resources=Resources(parts["registers"], 0, parts["spill"], 0, 0),
        dynamic_shared_bytes=parts["shared"],
        threads=parts["threads"],
        ptx="",
        cubin=b"",
        log="",
    )


def test_occupancy_by_hand():
    # A100: 164 KiB hold 4 blocks of 32 + 1 KiB; 64 registers x 128 threads let 8 in.
    limits = arch("sm_80")
    room = resident_blocks(made_up(), limits)
    assert room == {"shared memory": 4, "registers": 8, "warps": 16, "blocks": 32}
    verdict = gate(made_up())
    assert (verdict.blocks, verdict.limiter, verdict.occupancy) == (4, "shared memory", 0.25)
    # 255 registers are given as 256: 8192 a warp, 2 warps in each of the 4 parts.
    assert resident_blocks(made_up(registers=255), limits)["registers"] == 2


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (
            {"shared": 164 * 1024},
            "wants 167936 bytes of shared memory; sm_80 gives it 166912",
        ),
        ({"threads": 1056}, "1056 threads; it may have 1024"),
        ({"threads": 512, "registers": 200}, "512 threads of 200 registers want more"),
        ({"shared": 100 * 1024, "arch": "sm_89"}, "sm_89 gives it 101376"),
    ],
)
def test_what_cannot_be_launched_is_refused_with_the_reason(more, sentence):
    verdict = gate(made_up(**more))
    assert not verdict.launchable
    assert verdict.blocks == 0
    assert sentence in verdict.refusals[0]


def test_spills_are_a_warning_not_a_refusal():
    verdict = gate(made_up(spill=16))
    assert verdict.launchable
    assert verdict.warnings == (
        "16 bytes of registers of each thread are spilled to memory and read back",
    )


def test_names_of_architectures_lead_to_limits_and_numbers():
    assert arch("sm_90a") is ARCHES["sm_90"]
    assert [number(name) for name in TARGETS] == [80, 89, 90, 100, 120]
    with pytest.raises(BadInput, match="no architecture is called 'sm_9'; did you mean sm_90"):
        arch("sm_9")


def test_a_gpu_runs_its_own_target_or_an_earlier_one_of_its_generation():
    found = {c: target_for(*divmod(c, 10)) for c in (80, 86, 87, 89, 90, 100, 103, 120, 121)}
    assert found == {
        80: "sm_80", 86: "sm_86", 87: "sm_86", 89: "sm_89", 90: "sm_90a", 100: "sm_100a",
        103: "sm_100", 120: "sm_120", 121: "sm_120",
    }  # fmt: skip
    with pytest.raises(BadInput, match=r"compute capability.*7\.5"):
        target_for(7, 5)
