"""Rows are picked and grouped as a plain loop over them would."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moesaic.base import BadInput
from moesaic.measured import Measurements, Provenance
from moesaic.measured.measurements import concatenated


def table(rows):
    columns = {
        "dtype": np.array([row[0] for row in rows], object),
        "m": np.array([row[1] for row in rows], np.int64),
        "latency_s": np.array([row[2] for row in rows], np.float64),
    }
    return Measurements(
        kind="gemm",
        system="h100-sxm",
        columns=columns,
        provenance=Provenance(source="test"),
        evidence="measured-published",
    )


ROWS = st.lists(
    st.tuples(st.sampled_from(["bf16", "fp8"]), st.integers(1, 4), st.floats(1e-6, 1.0)),
    max_size=20,
)


@given(rows=ROWS, dtype=st.sampled_from(["bf16", "fp8"]), m=st.sets(st.integers(1, 4)))
def test_where_keeps_the_rows_that_meet_every_condition(rows, dtype, m):
    picked = table(rows).where(dtype=dtype, m=m, latency_s=lambda s: s < 0.5)
    kept = [row for row in rows if row[0] == dtype and row[1] in m and row[2] < 0.5]
    assert [tuple(row.values()) for row in picked.records()] == kept


@given(rows=ROWS)
def test_groups_are_the_rows_of_equal_keys_in_sorted_order(rows):
    groups = list(table(rows).groups("dtype", "m"))
    assert [key for key, _ in groups] == sorted({row[:2] for row in rows})
    for key, group in groups:
        assert [tuple(row.values()) for row in group.records()] == [
            row for row in rows if row[:2] == key
        ]


def test_a_number_format_is_found_by_any_of_its_names():
    rows = table([("bf16", 1, 1.0), ("fp8", 1, 1.0)])
    assert len(rows.where(dtype="bfloat16")) == 1
    assert len(rows.where(dtype=["bfloat16", "float8_e4m3fn"])) == 2


def test_units_stand_with_the_columns():
    assert table([]).units == {"dtype": "", "m": "", "latency_s": "s"}


def test_an_unknown_column_or_kind_is_refused():
    with pytest.raises(BadInput, match="did you mean m"):
        table([]).where(mm=1)
    with pytest.raises(BadInput, match="no kind of measurement"):
        Measurements(
            kind="gem",
            system="",
            columns={"m": np.ones(1)},
            provenance=Provenance(source=""),
            evidence="simulated",
        )


def test_columns_of_unequal_length_are_refused():
    with pytest.raises(ValueError, match="equally long"):
        Measurements(
            kind="gemm",
            system="",
            columns={"m": np.ones(1), "n": np.ones(2)},
            provenance=Provenance(source=""),
            evidence="simulated",
        )


def test_tables_are_joined_by_the_columns_they_share():
    one, two = table([("bf16", 1, 1.0)]), table([("fp8", 2, 2.0)])
    joined = concatenated([one, two])
    assert joined["m"].tolist() == [1, 2]
    assert joined["system"].tolist() == ["h100-sxm"] * 2
    with pytest.raises(BadInput, match="no measurements"):
        concatenated([])
