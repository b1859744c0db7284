"""The tables that ship hold the published rows, and what is known of them holds."""

import numpy as np
import pytest

from moesaic.base import DTYPES, BadInput
from moesaic.hardware.load import device
from moesaic.measured import kinds, load, systems
from moesaic.measured.schema import SCHEMAS
from moesaic.measured.tables import RECORDED, labels

ROWS = {
    ("moe", "h100-sxm"): 250_149,
    ("moe", "a100-80gb-sxm"): 46_452,
    ("moe", "l40s"): 177_301,
    ("moe", "b200-sxm"): 377_547,
    ("gemm", "h100-sxm"): 280_826,
    ("gemm", "a100-80gb-sxm"): 65_383,
    ("gemm", "l40s"): 254_065,
    ("gemm", "b200-sxm"): 366_668,
    ("attention", "h100-sxm"): 65_576,
    ("attention", "a100-80gb-sxm"): 29_022,
    ("attention", "l40s"): 62_725,
    ("attention", "b200-sxm"): 68_504,
    ("power", "b200-sxm"): 41_148,
    ("comm", "h100-sxm"): 2_889,
    ("comm", "a100-80gb-sxm"): 987,
    ("comm", "l40s"): 1_401,
    ("comm", "b200-sxm"): 3_921,
    ("serving", "h100-sxm"): 788,
    ("serving", "b200-sxm"): 1_932,
}


@pytest.fixture(scope="module")
def h100():
    return load("moe", "h100-sxm")


def test_every_published_row_ships():
    stated = {(label["kind"], label["system"]): int(label["rows"]) for label in labels()}
    assert stated == ROWS
    assert {(kind, system) for kind in kinds() for system in systems(kind)} == set(ROWS)


@pytest.mark.parametrize(("kind", "system"), [key for key in ROWS if ROWS[key] < 70_000])
def test_a_table_holds_the_rows_and_columns_it_states(kind, system):
    table = load(kind, system)
    assert len(table) == ROWS[kind, system]
    assert set(table.columns) <= set(SCHEMAS[kind])
    assert {name for name, column in SCHEMAS[kind].items() if column.needed} <= set(table.columns)
    for name in table.columns:
        if SCHEMAS[kind][name].holds == "time":
            assert (table[name] > 0).all()
        if SCHEMAS[kind][name].holds == "dtype":
            assert set(table[name]) <= set(DTYPES)


def test_the_tables_that_ship_are_small_and_carry_their_licence():
    assert sum(path.stat().st_size for path in RECORDED.glob("*.parquet")) < 12 * 2**20
    assert "Apache License" in (RECORDED / "LICENSE.aiconfigurator").read_text()
    for label in labels():
        assert label["licence"].startswith("Apache-2.0")
        assert label["evidence"] == "measured-published"
        assert label["source"]
        assert label["modified"]


def test_every_system_is_a_device_of_the_catalogue():
    assert {device(system).name for _, system in ROWS} == {system for _, system in ROWS}


def mixtral(table, **more):
    return table.where(
        backend="trtllm",
        version="1.3.0rc20",
        dtype="bf16",
        hidden=4096,
        inter=14336,
        tp=1,
        ep=1,
        distribution="balanced",
        **more,
    )


@pytest.mark.parametrize(("tokens", "us"), [(1, 261.54), (1536, 1901.5), (2048, 1890.6)])
def test_mixtral_on_h100_takes_the_published_time(h100, tokens, us):
    """The time is not monotone in the tokens: the kernel changes its tile before 2,048."""
    row = mixtral(h100, num_tokens=tokens)
    assert row["latency_s"] == pytest.approx([us * 1e-6], rel=1e-5)


def test_mixtral_reaches_the_published_shares_of_the_peaks(h100):
    """One token reads two experts at 0.80 of 3.35 TB/s; 4 to 64 read all eight at 0.87 to 0.88."""
    expert_bytes = 3 * 4096 * 14336 * 2
    (one,) = mixtral(h100, num_tokens=1)["latency_s"]
    assert 2 * expert_bytes / one / 3.35e12 == pytest.approx(0.80, abs=0.01)
    few = mixtral(h100, num_tokens=lambda n: (n >= 4) & (n <= 64))["latency_s"]
    assert 8 * expert_bytes / few / 3.35e12 == pytest.approx(0.87, abs=0.02)
    (many,) = mixtral(h100, num_tokens=2048)["latency_s"]
    assert 2048 * 2 * 6 * 4096 * 14336 / many / 989e12 == pytest.approx(0.77, abs=0.01)


def test_the_formats_of_h100_have_the_published_shares(h100):
    formats, counts = np.unique(h100["dtype"].astype(str), return_counts=True)
    assert dict(zip(formats.tolist(), counts.tolist(), strict=True)) == {
        "bf16": 109_241,
        "fp8": 59_211,
        "fp8_block": 71_436,
        "mxfp4": 10_261,
    }


def test_nccl_reaches_the_published_bandwidth():
    """8 x H100, all-reduce of 512 MiB: 254 GB/s of messages."""
    row = load("comm", "h100-sxm").where(
        backend="nccl", collective="all_reduce", dtype="half", num_gpus=8, message_bytes=2**29
    )
    assert 2**29 / row["latency_s"] == pytest.approx(254e9, rel=0.01)


def test_attention_is_prefill_or_decode_of_shared_heads_or_a_latent():
    table = load("attention", "a100-80gb-sxm")
    prefill, decode = table.where(phase="prefill"), table.where(phase="decode")
    assert len(prefill) + len(decode) == len(table)
    assert set(decode["query_tokens"]) == {1}
    assert set(prefill["cached_tokens"]) == {0}
    latent = table.where(variant="mla")
    assert (set(latent["head_dim"]), set(latent["num_kv_heads"])) == ({192}, {1})
    assert len(latent) == 2 * (696 + 1_448)
    assert (table["num_heads"] % table["num_kv_heads"] == 0).all()


def test_the_times_of_attention_are_the_published_ones():
    """A lone head on a lone token takes 13.989 us; a gigabyte of keys is read no faster than the
    memory of the H100 can."""
    a100 = load("attention", "a100-80gb-sxm")
    lone = a100.where(backend="sglang", phase="prefill", num_heads=1, num_kv_heads=1)
    first = lone.where(batch_size=1, query_tokens=1)
    assert first["latency_s"] == pytest.approx([13.989e-6], rel=1e-5)
    decode = load("attention", "h100-sxm").where(variant="gqa", phase="decode", kv_dtype="bfloat16")
    tokens = decode["batch_size"] * (decode["query_tokens"] + decode["cached_tokens"])
    cache_bytes = 4.0 * tokens * decode["num_kv_heads"] * decode["head_dim"]
    large = cache_bytes > 1e9
    assert 2.8e12 < np.max(cache_bytes[large] / decode["latency_s"][large]) < 3.35e12


def test_no_shape_kept_for_validation_ships(h100):
    assert not len(h100.where(hidden=7168))
    assert not len(h100.where(hidden=2048, inter=768, num_experts=128))


def test_a_serving_run_has_its_times_and_its_gaps():
    runs = load("serving", "h100-sxm")
    apart = runs.where(mode="disagg")
    together = runs.where(mode="agg")
    assert np.isnan(apart["tp_size"]).all()
    assert not np.isnan(together["tp_size"]).any()
    assert len(apart) + len(together) == len(runs)
    assert (runs["ttft_s"] > 1e-3).all()


def test_without_a_system_all_systems_come_in_one_table():
    table = load("comm")
    assert len(table) == 2_889 + 987 + 1_401 + 3_921
    assert set(table["system"]) == set(systems("comm"))
    assert len(table.where(system="l40s")) == 1_401


def test_what_is_not_there_is_refused(tmp_path):
    with pytest.raises(BadInput, match="did you mean h100-sxm"):
        load("moe", "h200-sxm")
    with pytest.raises(BadInput, match="no kind of measurement"):
        load("moes")
    with pytest.raises(BadInput, match="no folder"):
        load("moe", folder=tmp_path / "none")
    with pytest.raises(BadInput, match="holds no moe table"):
        load("moe", folder=tmp_path)
