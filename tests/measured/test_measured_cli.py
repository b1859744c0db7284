"""`moesaic measured`: the tables on the command line."""

import json

import pytest

from moesaic.cli.app import main
from moesaic.measured import store

GEMM = "dtype,m,n,k,latency_ms\nbf16,1,128,128,0.5\n"


def run(capsys, *words):
    code = main(["measured", *map(str, words)])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_the_list_says_what_each_table_is_and_where_it_comes_from(capsys):
    code, out, _ = run(capsys, "list", "--json")
    rows = json.loads(out)
    assert code == 0
    assert {(row["kind"], row["system"]) for row in rows} >= {("moe", "h100-sxm")}
    assert all("aiconfigurator" in row["source"] for row in rows)
    code, out, _ = run(capsys, "list")
    assert (code, "250149" in out) == (0, True)


def test_a_table_is_imported_and_listed(capsys, tmp_path):
    (tmp_path / "mine.csv").write_text(GEMM)
    out_file = tmp_path / "tables" / "mine.parquet"
    code, out, err = run(
        capsys, "import", tmp_path / "mine.csv", "--kind", "gemm", "--on", "l40s", "--out", out_file
    )
    assert (code, out) == (0, "")
    assert "1 rows of gemm on l40s" in err
    assert store.read(out_file)["latency_s"] == pytest.approx([5e-4])
    code, out, _ = run(capsys, "list", "--folder", out_file.parent, "--json")
    assert [row["source"] for row in json.loads(out)] == ["mine.csv"]


@pytest.mark.parametrize(
    ("old", "new", "kind", "on"),
    [
        ("0.5", "-1", "gemm", "l40s"),
        ("m,n", "m,q", "gemm", "l40s"),
        ("x", "x", "gemms", "l40s"),
        ("x", "x", "gemm", "l40z"),
    ],
)
def test_bad_input_ends_with_one_sentence_and_writes_nothing(capsys, tmp_path, old, new, kind, on):
    (tmp_path / "mine.csv").write_text(GEMM.replace(old, new))
    out_file = tmp_path / "mine.parquet"
    words = ("import", tmp_path / "mine.csv", "--kind", kind, "--on", on, "--out", out_file)
    code, out, err = run(capsys, *words)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert not out_file.exists()


def test_the_result_must_be_named_as_parquet(capsys, tmp_path):
    (tmp_path / "mine.csv").write_text(GEMM)
    words = ("--kind", "gemm", "--on", "l40s", "--out", tmp_path / "mine.csv")
    code, _, err = run(capsys, "import", tmp_path / "mine.csv", *words)
    assert (code, "must end in .parquet" in err) == (2, True)
    assert (tmp_path / "mine.csv").read_text() == GEMM
