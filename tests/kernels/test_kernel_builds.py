"""Builds without a GPU: resources, the content-addressed cache, the gate, and clear refusals."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from moesaic.base import BadInput
from moesaic.base.files import cache_folder
from moesaic.kernels import KERNELS, build, gate, kernel
from moesaic.kernels.compiled import ARCHES, Build, Resources, arch
from moesaic.kernels.compiled.build import parse_resources
from moesaic.kernels.compiled.gate import resident_blocks

GEMM = kernel("grouped-gemm")


@pytest.fixture(scope="module")
def nvrtc():
    return pytest.importorskip(
        "cupy", reason="needs cupy and NVRTC: pip install 'moesaic[gpu]'"
    ).cuda.nvrtc


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MOESAIC_CACHE", str(tmp_path))


def built(**more: Any) -> Build:
    """A made-up build, for the gate."""
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


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("sm_80", "gate-up-64x64"),
        ("sm_89", "down-64x128"),
        ("sm_90", "gate-up-16x64"),
        ("sm_120", "down-128x128"),
    ],
)
def test_a_registered_config_compiles_without_spills_and_can_be_launched(nvrtc, name, config):
    made = build(GEMM, config, name)
    assert made.cubin.startswith(b"\x7fELF")
    assert f".target {name}" in made.ptx
    assert "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32" in made.ptx
    assert "cp.async.cg.shared.global" in made.ptx
    assert made.resources.spill_store_bytes == made.resources.stack_bytes == 0
    # The sums alone need this many registers of each thread.
    sums = (1 + made.config["FUSE_SWIGLU"]) * made.config["BM"] * made.config["BN"] // made.threads
    assert sums < made.resources.registers <= 255
    verdict = gate(made)
    assert verdict.launchable
    assert verdict.blocks >= 1


def test_the_cache_gives_the_same_build_and_mends_a_damaged_entry(nvrtc):
    first = build(GEMM, "down-16x128", "sm_80")
    (file,) = cache_folder("kernels").iterdir()
    stamp = file.stat().st_mtime_ns
    assert build(GEMM, "down-16x128", "sm_80") == first
    assert file.stat().st_mtime_ns == stamp
    data = bytearray(file.read_bytes())
    at = data.find(first.cubin) + 1000
    data[at] ^= 0xFF
    file.write_bytes(bytes(data))
    # Made anew, and to the byte what it was: the build depends on nothing but its key.
    assert build(GEMM, "down-16x128", "sm_80") == first
    file.write_bytes(b"short")
    assert build(GEMM, "down-16x128", "sm_80") == first


def test_a_source_that_does_not_compile_shows_the_compilers_words(nvrtc, monkeypatch):
    texts = GEMM.texts()
    broken = texts[GEMM.source].replace("constexpr int kParts", "constexpr int kPart")
    monkeypatch.setattr(type(GEMM), "texts", lambda self: {**texts, GEMM.source: broken})
    with pytest.raises(BadInput, match=r'grouped_gemm\.cu.*-DBM=16.*"kParts" is undefined'):
        build(GEMM, "down-16x128", "sm_80")
    assert list(cache_folder("kernels").iterdir()) == []


def test_without_cupy_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "cupy.cuda", None)
    with pytest.raises(BadInput, match=r"pip install 'moesaic\[gpu\]'"):
        build(GEMM, "down-16x128", "sm_80")


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


def test_every_registered_config_keeps_the_rules_and_fits_the_largest_machine():
    for one in KERNELS.values():
        assert 1 <= len(one.configs) <= 48
        for name in one.configs:
            launch = one.launch(one.config(name))
            assert launch.threads <= 1024
            assert launch.shared_bytes <= max(a.shared_block_bytes for a in ARCHES.values())


def test_occupancy_by_hand():
    # A100: 164 KiB hold 4 blocks of 32 + 1 KiB; 64 registers x 128 threads let 8 in.
    limits = arch("sm_80")
    room = resident_blocks(built(), limits)
    assert room == {"shared memory": 4, "registers": 8, "warps": 16, "blocks": 32}
    verdict = gate(built())
    assert (verdict.blocks, verdict.limiter, verdict.occupancy) == (4, "shared memory", 0.25)
    # 255 registers are given as 256: 8192 a warp, 2 warps in each of the 4 parts.
    assert resident_blocks(built(registers=255), limits)["registers"] == 2


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
    verdict = gate(built(**more))
    assert not verdict.launchable
    assert verdict.blocks == 0
    assert sentence in verdict.refusals[0]


def test_spills_are_a_warning_not_a_refusal():
    verdict = gate(built(spill=64))
    assert verdict.launchable
    assert "64 bytes of registers" in verdict.warnings[0]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ("gate-up-64", "did you mean gate-up-64x64"),
        ({"BM": 64}, "BN: must be one of 32, 64"),
        ({**GEMM.configs["down-16x128"], "BM": 48}, "BM: must be one of"),
        (
            {**GEMM.configs["down-16x128"], "WARP": 1},
            "is called 'WARP'",
        ),
        (
            {**GEMM.configs["down-16x128"], "WARPS_M": 2},
            r"16-row tiles of the mma: BM % \(16 \* WARPS_M\) == 0 does not hold for BM = 16",
        ),
    ],
)
def test_configurations_that_cannot_be_are_refused(values, sentence):
    with pytest.raises(BadInput, match=sentence):
        GEMM.config(values)


def test_unknown_kernels_and_architectures_are_refused():
    with pytest.raises(BadInput, match="did you mean grouped-gemm"):
        kernel("grouped_gem")
    with pytest.raises(BadInput, match="did you mean sm_90"):
        build(GEMM, "down-16x128", "sm_91")


def test_a_build_survives_its_own_encoding():
    made = built()
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(made), type=Build) == made
