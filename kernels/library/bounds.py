"""How far a right result may be from the exact one: forward error bounds, derived, not fitted.

Sums are bounded against the sum of magnitudes, sum |a||b|. A rounding to nearest fp32 costs at most
2^-24 of the result. `n` errors of a relative size u add up to n u / (1 - n u) (Higham, Accuracy and
Stability of Numerical Algorithms, 2nd ed., section 3.1).
"""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from .formats import E4M3, FP32, Format

Numbers = NDArray[np.float64]
Some = TypeVar("Some", float, Numbers)


def fp32_sum(roundings: Some) -> Some:
    """Of the sum of magnitudes, where each term goes through at most `roundings` of them."""
    return _together(roundings * FP32.unit)


def tensor_core_sum(form: Format, depth: int) -> float:
    """Of the sum of magnitudes, for mma.sync over `depth` products, on every architecture.

    Tensor cores cut each term of a step at F bits below the largest exponent, add exactly, and cut
    the sum to its fraction (Xie et al., MMA-Sim, arXiv 2511.10909). derived: a step of n products
    and the sum so far costs (n + 1) 2^-F for the terms and one last place for the sum.
    16-bit formats, at worst F = 24 and steps of 8 (sm_80): 9 * 2^-24 + 2^-23 each step.
    e4m3, at worst F = 13, two steps of 16 and 13 bits kept (sm_89), from zero for each 32 products:
    16 * 2^-13 + 2^-13, then 17 * 2^-13 + 2^-13, once, as the fp32 sums are kept outside.
    """
    if form is E4M3:
        return _together(35 * 2.0**-13 + depth / 32 * FP32.unit)
    return _together(depth / 8 * 11 * FP32.unit)


def magnitudes(form: Format, bits: NDArray[Any]) -> Numbers:
    """What a tensor core takes for the size of each number: its exponent's, which is that of the
    smallest normal number where the number is below it."""
    sizes: Numbers = np.maximum(np.abs(form.decode(bits)), 2.0**form.lowest)
    return sizes


def swiglu(gate: Numbers, up: Numbers, gate_error: Numbers, up_error: Numbers) -> Numbers:
    """The error of silu(gate) * up in fp32 whose arguments are off, for |gate| < 80.

    derived: silu's slope is below 1.1. Of its result: exp 2 + 1.173 |x| last places and fast
    division 2 (CUDA Programming Guide, intrinsic functions), sum and product half of one each.
    """
    places = 5 + 1.173 * (np.abs(gate) + gate_error)
    activated: Numbers = np.abs(gate / (1 + np.exp(-gate)))
    most = (activated + 1.1 * gate_error) * (np.abs(up) + up_error)
    return most * (1 + _together(places * 2 * FP32.unit)) - activated * np.abs(up)


def rounded(value: Numbers, error: Numbers, form: Format) -> Numbers:
    """The error after rounding to `form` of a number that is off by `error`."""
    most = np.abs(value) + error
    return error + np.maximum(most * form.unit, form.smallest / 2)


def _together(errors: Some) -> Some:
    return errors / (1 - errors)
