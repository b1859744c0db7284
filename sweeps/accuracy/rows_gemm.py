"""Measured dense GEMM rows -> what the tile model is asked, kernel family by kernel family."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ...base import number_format
from ...hardware import AnyDevice
from ...measured import Measurements
from ...simulator.gpu import Machine
from ...simulator.gpu.gemm import Gemm
from .rows import Rows, family_names, shape_numbers

SHAPE = ("n", "k")
"""What makes two rows the same shape, however many rows of activations they multiply."""


def gemm_families(table: Measurements, device: AnyDevice, seed: int = 0) -> Iterator[Rows]:
    """The families of a GEMM table in order of their names; nothing is drawn, so seed is unused."""
    names, shape = family_names(table), shape_numbers(table, SHAPE)
    for family in np.unique(names).tolist():
        where = np.flatnonzero(names == family)
        dtype = str(table["dtype"][where[0]])
        yield Rows(
            family=family,
            kernel="gemm",
            where=where,
            shape=shape[where],
            measured_s=table["latency_s"][where].astype(float),
            asked=_call(table, where, dtype),
            machine=Machine.of(device, dtype),
        )


def _call(table: Measurements, where: NDArray[np.int64], dtype: str) -> Gemm:
    """Formats that are not weight-only quantise their rows within the call."""
    form = number_format(dtype)
    m, n, k = (np.asarray(table[name][where], np.float64) for name in "mnk")
    return Gemm(
        m=m,
        n=n,
        k=k,
        weight_size=form.bytes_per_element,
        activation_size=form.operand_bytes,
        quantised=form.compute != "bf16",
    )
