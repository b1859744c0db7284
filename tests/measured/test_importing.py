"""A user's table: read exactly, or refused with file, row, column, value and what is allowed."""

import gzip
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from moesaic.base import BadInput, parquet
from moesaic.measured import import_table, load, store, systems
from moesaic.measured.reading import MOST_BYTES

HEADER = "dtype,hidden,inter,topk,num_experts,gated,tp,ep,distribution,num_tokens,latency_us\n"
MOE = (
    HEADER
    + "bfloat16,4096,14336,2,8,1,1,1,balanced,1,261.54\nfp8,4096,14336,2,8,1,2,4,pl1.2,64,90\n"
)
GEMM = "dtype,m,n,k,latency_ms\nbf16,1,128,128,0.5\n"


@pytest.fixture
def write(tmp_path):
    def writer(content, name="own.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return writer


@pytest.mark.parametrize("packed", [False, True])
def test_a_table_is_read_in_seconds_and_with_formats_by_their_own_name(write, packed):
    path = write(gzip.compress(MOE.encode(), mtime=0), "own.csv.gz") if packed else write(MOE)
    table = import_table(path, "moe", "h100-sxm", source="my lab")
    assert table["latency_s"] == pytest.approx([261.54e-6, 90e-6])
    assert table["dtype"].tolist() == ["bf16", "fp8"]
    assert table["ep"].tolist() == [1, 4]
    assert (table.kind, table.system, table.provenance.source) == ("moe", "h100-sxm", "my lab")


@pytest.mark.parametrize(("unit", "scale"), [("us", 1e-6), ("ms", 1e-3), ("s", 1.0)])
def test_a_time_may_be_written_in_three_units(write, unit, scale):
    path = write(GEMM.replace("latency_ms", f"latency_{unit}"))
    assert import_table(path, "gemm", "l40s")["latency_s"] == pytest.approx([0.5 * scale])


def test_a_table_survives_the_way_to_parquet_and_back(write, tmp_path):
    table = import_table(write(MOE), "moe", "h100-sxm", source="s", licence="l")
    store.write(table, tmp_path / "a.parquet")
    again = store.read(tmp_path / "a.parquet")
    assert list(again.records()) == [pytest.approx(row) for row in table.records()]
    assert (again.kind, again.system, again.provenance) == ("moe", "h100-sxm", table.provenance)
    third = import_table(tmp_path / "a.parquet", "moe", "h100-sxm")
    assert list(third.records()) == [pytest.approx(row) for row in table.records()]


def test_a_folder_of_imported_tables_is_loaded_like_the_part_that_ships(write, tmp_path):
    folder = tmp_path / "mine"
    store.write(import_table(write(GEMM), "gemm", "l40s"), folder / "any-name.parquet")
    store.write(import_table(write(MOE), "moe", "l40s"), folder / "other.parquet")
    assert systems("gemm", folder) == ["l40s"]
    assert len(load("gemm", "l40s", folder)) == 1
    assert len(load("moe", folder=folder)) == 2


def test_a_serving_table_may_leave_cells_empty(write):
    text = "model,mode,isl,osl,tp_size,ttft_ms,tpot_ms\nm,agg,10,20,4,100,5\nm,disagg,10,20,,90,4\n"
    table = import_table(write(text), "serving", "b200-sxm")
    assert table["tp_size"].tolist()[0] == 4
    assert np.isnan(table["tp_size"][1])
    assert table["tpot_s"] == pytest.approx([5e-3, 4e-3])


ATTENTION = """phase,variant,dtype,kv_dtype,head_dim,num_heads,num_kv_heads,batch_size,\
query_tokens,cached_tokens,latency_us
prefill,gqa,bfloat16,float8_e4m3fn,128,32,8,1,4096,0,338.7
decode,mla,bf16,fp8,192,128,1,64,1,8191,300
"""


def test_an_attention_table_names_its_formats_and_phases(write, tmp_path):
    table = import_table(write(ATTENTION), "attention", "h100-sxm")
    store.write(table, tmp_path / "a.parquet")
    again = store.read(tmp_path / "a.parquet")
    assert again["latency_s"] == pytest.approx([338.7e-6, 300e-6])
    assert again.where(kv_dtype="float8_e4m3fn", dtype="bfloat16")["phase"].tolist() == [
        "prefill",
        "decode",
    ]


FAULTS = [
    (ATTENTION, "decode,mla", "generation,mla", "row 2, column phase: must be prefill or decode"),
    (ATTENTION, "prefill,gqa", "prefill,mqa", "row 1, column variant: must be gqa or mla"),
    (
        ATTENTION,
        "4096,0,",
        "4096,-1,",
        "row 1, column cached_tokens: must be a whole number from 0",
    ),
    (ATTENTION, "kv_dtype", "cache_dtype", "lacks the column kv_dtype"),
    (MOE, "261.54", "261.54 us", "row 1, column latency_us: must be a number without a unit"),
    (MOE, "261.54", "-1", r"row 1, column latency_us: must be a number from 0.001 to 1e\+11"),
    (MOE, "261.54", "nan", "row 1, column latency_us: must be a number"),
    (MOE, "261.54", "inf", "row 1, column latency_us: must be a number"),
    (MOE, "261.54", "", "row 1, column latency_us: must be a number"),
    (MOE, "fp8,4096", "fp9,4096", "row 2, column dtype: no number format is called 'fp9'; did you"),
    (MOE, "pl1.2", "zipf", "row 2, column distribution: must be balanced, uniform or pl"),
    (MOE, "fp8,4096", "fp8,40.5", "row 2, column hidden: must be a whole number from 1 to"),
    (
        MOE,
        "2,8,1,1,1,bal",
        "2,8,2,1,1,bal",
        "row 1, column gated: must be a whole",
    ),
    (MOE, "latency_us", "latency", "lacks the column latency_us or latency_ms or latency_s"),
    (MOE, "num_tokens", "tokens", "lacks the column num_tokens"),
    (MOE, "fp8,", "", "row 2 has 10 cells; the header names 11"),
    (GEMM, "latency_ms\nbf16", "latency_ms,latency_us\nbf16", "row 1 has 5 cells"),
    (
        GEMM,
        "latency_ms\nbf16,1,128,128,0.5",
        "latency_ms,latency_us\nbf16,1,1,1,5,5",
        "several units",
    ),
    (GEMM, "m,n,k", "m,m,k", "names a column twice"),
    (GEMM, "m,n,k,latency_ms\nbf16,1", "m,n,k,latency_ms,kernel\nbf16,1", "row 1 has 5 cells"),
    (GEMM, "\nbf16,1,128,128,0.5", "", "holds no rows"),
    (GEMM, "bf16,1", '"bf16,1', "comma-separated table"),
]


KINDS = {MOE: "moe", GEMM: "gemm", ATTENTION: "attention"}


@pytest.mark.parametrize(("text", "old", "new", "said"), FAULTS)
def test_a_wrong_table_is_refused_with_its_place(write, text, old, new, said):
    assert old in text
    path = write(text.replace(old, new, 1))
    with pytest.raises(BadInput, match=said) as fault:
        import_table(path, KINDS[text], "h100-sxm")
    assert "own.csv" in str(fault.value)


def test_an_unknown_column_is_refused_with_the_nearest(write):
    text = GEMM.replace("latency_ms", "latency_ms,n_repeat").replace("0.5", "0.5,1")
    with pytest.raises(BadInput, match="did you mean n_repeats"):
        import_table(write(text), "gemm", "l40s")


@pytest.mark.parametrize(
    ("content", "name", "said"),
    [
        (b"", "own.csv", "is empty"),
        (b"\xff\xfe\x00", "own.csv", "not UTF-8"),
        (b"not gzip", "own.csv.gz", "no readable gzip"),
        (gzip.compress(GEMM.encode(), mtime=0)[:-9], "own.csv.gz", "cut short"),
        (gzip.compress(b"a", mtime=0) * 2, "own.csv.gz", "more than one gzip member"),
        (b"PAR1 nonsense PAR1", "own.parquet", "no readable Parquet"),
        (b"x", "own.xlsx", "must end in .csv, .csv.gz, .parquet"),
    ],
)
def test_what_is_no_table_is_refused(write, content, name, said):
    with pytest.raises(BadInput, match=said):
        import_table(write(content, name), "gemm", "l40s")


def test_a_missing_file_and_an_unknown_kind_are_refused(tmp_path):
    with pytest.raises(BadInput, match="no such file"):
        import_table(tmp_path / "none.csv", "gemm", "l40s")
    with pytest.raises(BadInput, match="no kind of measurement"):
        import_table(tmp_path / "none.csv", "gems", "l40s")


def test_a_gzip_bomb_is_refused_before_it_unpacks(write):
    pack = zlib.compressobj(9, wbits=31)
    block = b"0" * 2**20
    bomb = b"".join(pack.compress(block) for _ in range(MOST_BYTES // 2**20 + 2)) + pack.flush()
    assert len(bomb) < 2**20
    with pytest.raises(BadInput, match="unpacks to more than"):
        import_table(write(bomb, "own.csv.gz"), "gemm", "l40s")


def test_a_parquet_file_that_claims_too_many_rows_is_refused(tmp_path, monkeypatch):
    from moesaic.measured import reading

    path = tmp_path / "big.parquet"
    row = {"dtype": "bf16", "m": 1, "n": 1, "k": 1, "latency_us": 1.0}
    parquet.write(path, {name: [value] * 11 for name, value in row.items()}, {})
    monkeypatch.setattr(reading, "MOST_ROWS", 10)
    with pytest.raises(BadInput, match="claims 11 rows; at most 10"):
        import_table(path, "gemm", "l40s")


def test_a_parquet_file_of_other_columns_is_refused(tmp_path):
    path = tmp_path / "wrong.parquet"
    parquet.write(path, {"dtype": [1], "m": ["x"]}, {})
    with pytest.raises(BadInput, match="dtype: must hold text"):
        import_table(path, "gemm", "l40s")
    with pytest.raises(BadInput, match="no table of measurements"):
        store.read(path)


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data(), packed=st.booleans())
def test_bytes_changed_at_random_give_a_table_or_a_fault(write, data, packed):
    raw = bytearray(gzip.compress(MOE.encode(), mtime=0) if packed else MOE.encode())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at : at + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=4))
    path = write(bytes(raw), "own.csv.gz" if packed else "own.csv")
    try:
        table = import_table(path, "moe", "h100-sxm")
    except BadInput:
        return
    assert np.isfinite(table["latency_s"]).all()
    assert (table["latency_s"] > 0).all()


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_a_parquet_file_changed_at_random_gives_a_table_or_a_fault(write, tmp_path, data):
    store.write(import_table(write(MOE), "moe", "h100-sxm"), tmp_path / "own.parquet")
    raw = bytearray((tmp_path / "own.parquet").read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at : at + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=4))
    path = write(bytes(raw), "mutated.parquet")
    try:
        table = import_table(path, "moe", "h100-sxm")
    except BadInput:
        return
    assert (table["latency_s"] > 0).all()


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"inter": 14337, "tp": 2}, "inter must be a multiple of tp"),
        ({"num_experts": 8, "ep": 3}, "num_experts must be a multiple of ep"),
        ({"topk": 9, "num_experts": 8}, "topk must not exceed num_experts"),
    ],
)
def test_shapes_that_no_device_could_split_are_refused_with_their_row(tmp_path, changed, told):
    good = {
        "dtype": "bf16", "hidden": 4096, "inter": 14336, "topk": 2, "num_experts": 8, "gated": 1,
        "tp": 1, "ep": 1, "distribution": "balanced", "num_tokens": 16, "latency_us": 100.0,
    }  # fmt: skip
    file = tmp_path / "mine.csv"
    rows = [good, {**good, **changed}]
    lines = [",".join(good), *(",".join(map(str, row.values())) for row in rows)]
    file.write_text("\n".join(lines))
    with pytest.raises(BadInput, match=told) as fault:
        import_table(file, "moe", "h100-sxm")
    assert "row 2" in str(fault.value)
