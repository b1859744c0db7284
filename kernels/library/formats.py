"""The number formats of the kernels in numpy: stored bits, and the numbers that they stand for."""

from __future__ import annotations

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
        exponent = np.maximum(np.frexp(magnitude)[1] - 1, self.lowest)
        steps = np.rint(np.ldexp(magnitude, self.fraction_bits - exponent))
        # A normal number's leading one adds the 1 that its exponent field is above `lowest`, and
        # a carry out of the fraction goes on into the exponent.
        bits = np.minimum(np.ldexp(exponent - self.lowest, self.fraction_bits) + steps, self.top)
        bits = np.where(np.isnan(numbers), self.ones, bits) + np.signbit(numbers) * (self.ones + 1)
        return np.asarray(bits, self.stored)

    def decode(self, bits: NDArray[Any]) -> NDArray[np.float64]:
        """The numbers that the bits stand for, exactly."""
        magnitude = np.asarray(bits, np.int64) & self.ones
        exponent = np.maximum(magnitude >> self.fraction_bits, 1) - 1
        steps = magnitude - (exponent << self.fraction_bits)
        numbers = np.ldexp(steps.astype(np.float64), exponent + self.lowest - self.fraction_bits)
        if not self.saturates:
            numbers[magnitude == self.top] = np.inf
        numbers[magnitude > self.top] = np.nan
        negative = np.asarray(bits, np.int64) > self.ones
        return np.copysign(numbers, np.where(negative, -1.0, 1.0))


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

DTYPES = (BF16, FP16, E4M3)
"""By the value of the kernels' macro DTYPE."""
