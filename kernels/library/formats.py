"""The number formats of the kernels in numpy: stored bits, and the numbers that they stand for."""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray


class Format(msgspec.Struct, frozen=True, kw_only=True):
    """A binary floating-point format: sign, exponent, fraction.

    lowest: the exponent of the smallest normal number. top: the bits of the greatest magnitude,
    which is infinity, or the largest number of a format that `saturates`. ones: all bits but the
    sign, which is a nan in each of them. stored: the integer that holds the bits.
    """

    name: str
    fraction_bits: int
    lowest: int
    top: int
    ones: int
    saturates: bool
    stored: type[np.unsignedinteger[Any]]

    @property
    def unit(self) -> float:
        """The largest relative error of rounding to nearest, of normal numbers."""
        return 2.0 ** -(self.fraction_bits + 1)

    @property
    def smallest(self) -> float:
        """The smallest positive number, subnormal."""
        return 2.0 ** (self.lowest - self.fraction_bits)

    def encode(self, values: NDArray[Any]) -> NDArray[Any]:
        """The bits of the nearest number, ties to even; too large ones become the greatest."""
        numbers = np.asarray(values, np.float64)
        magnitude = np.abs(numbers)
        # frexp gives zero the exponent 0; it has the least of all.
        exponent = np.where(magnitude > 0, np.frexp(magnitude)[1] - 1, self.lowest)
        exponent = np.maximum(exponent, self.lowest)
        steps = np.rint(np.ldexp(magnitude, self.fraction_bits - exponent))
        # A normal number's leading one adds the 1 that its exponent field is above `lowest`, and
        # a carry out of the fraction goes on into the exponent.
        bits = np.minimum(np.ldexp(exponent - self.lowest, self.fraction_bits) + steps, self.top)
        bits = np.where(np.isnan(numbers), self.ones, bits) + np.signbit(numbers) * (self.ones + 1)
        return np.asarray(bits, self.stored)

    def decode(self, bits: NDArray[Any]) -> NDArray[np.float64]:
        """The numbers that the bits stand for, exactly."""
        stored = np.asarray(bits, self.stored)
        return _numbers(self, stored) if self.ones > 0xFFFF else _all_numbers(self)[stored]


def _numbers(form: Format, bits: NDArray[Any]) -> NDArray[np.float64]:
    magnitude = bits.astype(np.int64) & form.ones
    exponent = np.maximum(magnitude >> form.fraction_bits, 1) - 1
    steps = (magnitude - (exponent << form.fraction_bits)).astype(np.float64)
    numbers: NDArray[np.float64] = np.ldexp(steps, exponent + form.lowest - form.fraction_bits)
    if not form.saturates:
        numbers[magnitude == form.top] = np.inf
    numbers[magnitude > form.top] = np.nan
    numbers[bits > form.ones] *= -1
    return numbers


@cache
def _all_numbers(form: Format) -> NDArray[np.float64]:
    """By their bits; a table is ten times as fast as the formula."""
    return _numbers(form, np.arange(2 * (form.ones + 1)))


BF16 = Format(
    name="bf16",
    fraction_bits=7,
    lowest=-126,
    top=0x7F80,
    ones=0x7FFF,
    saturates=False,
    stored=np.uint16,
)
FP16 = Format(
    name="fp16",
    fraction_bits=10,
    lowest=-14,
    top=0x7C00,
    ones=0x7FFF,
    saturates=False,
    stored=np.uint16,
)
E4M3 = Format(
    name="e4m3", fraction_bits=3, lowest=-6, top=0x7E, ones=0x7F, saturates=True, stored=np.uint8
)
"""OCP 8-bit floating point, E4M3: no infinity, largest number 448, one nan of each sign."""

FP32 = Format(
    name="fp32",
    fraction_bits=23,
    lowest=-126,
    top=0x7F800000,
    ones=0x7FFFFFFF,
    saturates=False,
    stored=np.uint32,
)

DTYPES = (BF16, FP16, E4M3)
"""By the value of the kernels' macro DTYPE."""
