"""Bytes that collectives must move over each tier of links, per device.

Each function takes the widths of the group in the tiers it crosses, innermost first, and returns
the bytes that one device sends over each: the well-known lower bounds for full-duplex links
(Chan et al., Collective communication, 2007, section 3; hierarchical as in NCCL).
"""

from __future__ import annotations

from collections.abc import Sequence

from .dense import Number


def all_gather(payload: Number, widths: Sequence[int]) -> list[Number]:
    """Every device holds `payload` / n bytes and ends with all of them.

    derived: with the innermost tier last, tier i of width n_i carries (n_i - 1) / n_i of what the
    groups inside it share, which is payload / (product of the inner widths).
    """
    moved, share = [], payload
    for width in widths:
        moved.append(share * (width - 1) / width)
        share = share / width
    return moved


def all_reduce(payload: Number, widths: Sequence[int]) -> list[Number]:
    """Every device holds `payload` bytes and ends with their sum: reduce-scatter, then all-gather.

    Reduction inside a switch (NVLink SHARP) can halve this; it is not counted.
    """
    return [2 * part for part in all_gather(payload, widths)]
