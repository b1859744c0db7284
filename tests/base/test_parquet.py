"""Parquet columns come back as they went, and a file that claims otherwise is refused."""

import duckdb
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from moesaic.base import BadInput, parquet


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "a.parquet"
    columns = {
        "n": np.arange(5, dtype=np.int16),
        "x": np.array([0.5, 1, np.inf, -2, 3]),
        "s": np.array(["a", "b", "it's", "", "e"], dtype=object),
    }
    parquet.write(path, columns, {"units": "x: s", "o'dd": "quo'te"})
    return path


def test_columns_and_metadata_come_back(file):
    columns = parquet.read(file, {"n": "int", "x": "float", "s": "text"})
    assert columns["n"].tolist() == [0, 1, 2, 3, 4]
    assert columns["x"].tolist() == [0.5, 1, np.inf, -2, 3]
    assert columns["s"].tolist() == ["a", "b", "it's", "", "e"]
    assert parquet.metadata(file) == {"units": "x: s", "o'dd": "quo'te"}


def test_integers_serve_where_numbers_are_wanted(file):
    assert parquet.read(file, {"n": "float"})["n"].tolist() == [0, 1, 2, 3, 4]


def test_missing_cells_are_nan_or_empty(tmp_path):
    path = tmp_path / "holes.parquet"
    parquet.write(path, {"x": [1.0, None], "s": ["a", None]}, {})
    columns = parquet.read(path, {"x": "float", "s": "text"})
    assert np.isnan(columns["x"][1])
    assert columns["s"].tolist() == ["a", ""]


@pytest.mark.parametrize(
    ("kinds", "words"),
    [({"y": "int"}, "lacks"), ({"s": "int"}, "must hold int"), ({"x": "int"}, "must hold int")],
)
def test_the_schema_is_checked(file, kinds, words):
    with pytest.raises(BadInput, match=words):
        parquet.read(file, kinds)


def test_too_many_rows_are_refused_before_they_are_read(file):
    with pytest.raises(BadInput, match="5 rows"):
        parquet.read(file, {"n": "int"}, most_rows=4)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(BadInput, match="missing"):
        parquet.read(tmp_path / "none.parquet", {"n": "int"})


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_damaged_file_gives_columns_or_one_sentence(file, data):
    whole = bytearray(file.read_bytes())
    place = data.draw(st.integers(0, len(whole) - 1))
    whole[place] ^= data.draw(st.integers(1, 255))
    broken = file.with_name("broken.parquet")
    broken.write_bytes(whole[: data.draw(st.integers(0, len(whole)))])
    try:
        answer: set[object] = set(parquet.read(broken, {"n": "int", "s": "text"}))
    except BadInput as fault:
        answer = {str(fault).count("\n")}
    assert answer in ({"n", "s"}, {0})


def test_a_long_text_for_many_rows_is_refused_before_it_is_unpacked(tmp_path):
    path = tmp_path / "bomb.parquet"
    with duckdb.connect() as connection:
        connection.execute(
            "COPY (SELECT repeat('x', 100000) AS word FROM range(20000)) "
            f"TO '{path}' (FORMAT parquet, COMPRESSION zstd)"
        )
    assert path.stat().st_size < 100_000
    with pytest.raises(BadInput, match="bytes of text"):
        parquet.read(path, {"word": "text"})


def test_a_file_without_any_wanted_column_says_what_it_holds(tmp_path):
    path = tmp_path / "other.parquet"
    parquet.write(path, {"a": [1, 2]}, {})
    with pytest.raises(BadInput, match="none of the columns tokens; it holds a"):
        parquet.read(path, {"tokens": "int"}, optional=["tokens"])
