"""Number formats: bits per element with the scales of block formats, and the peak they use."""

from __future__ import annotations

import msgspec

from .errors import unknown


class NumberFormat(msgspec.Struct, frozen=True):
    """A number format. `bits` counts the element, `scale_bits` its share of the block's scales.

    `compute` names the tensor peak that a product of two such operands runs at: weight-only
    formats (4-bit weights, 16-bit activations) are widened first and run at the 16-bit rate.
    """

    bits: float
    scale_bits: float
    compute: str

    @property
    def bytes_per_element(self) -> float:
        return (self.bits + self.scale_bits) / 8

    @property
    def operand_bytes(self) -> float:
        """Bytes per activation that a product with such weights reads: weight-only formats multiply
        16-bit rows, the others quantise rows to their own width."""
        return 2.0 if self.compute == "bf16" else self.bytes_per_element


DTYPES: dict[str, NumberFormat] = {
    "fp32": NumberFormat(32, 0, "fp32"),
    "tf32": NumberFormat(32, 0, "tf32"),
    "bf16": NumberFormat(16, 0, "bf16"),
    "fp16": NumberFormat(16, 0, "bf16"),
    "int16": NumberFormat(16, 0, "int16"),
    "fp8": NumberFormat(8, 0, "fp8"),
    # One fp32 scale for each 128 x 128 block of weights (DeepSeek-V3, arXiv 2412.19437, 3.3.2).
    "fp8_block": NumberFormat(8, 32 / (128 * 128), "fp8"),
    "int8": NumberFormat(8, 0, "int8"),
    # OCP Microscaling v1.0: one 8-bit exponent for 32 elements; weights only, 16-bit products.
    "mxfp4": NumberFormat(4, 8 / 32, "bf16"),
    # The same storage with fp8 activations: products at the fp8 rate.
    "mxfp4_fp8": NumberFormat(4, 8 / 32, "fp8"),
    # NVFP4: one fp8 scale for 16 elements.
    "nvfp4": NumberFormat(4, 8 / 16, "fp4"),
    # Weight-only int8: one scale for each output column, too few bits to count.
    "int8_wo": NumberFormat(8, 0, "bf16"),
    # Weight-only int4 as in GPTQ/AWQ: one 16-bit scale for 128 elements.
    "int4": NumberFormat(4, 16 / 128, "bf16"),
}

ALIASES = {
    "bfloat16": "bf16",
    "float16": "fp16",
    "half": "fp16",
    "float32": "fp32",
    "float": "fp32",
    "float8_e4m3fn": "fp8",
    "w4a16_mxfp4": "mxfp4",
    "w4a8_mxfp4_mxfp8": "mxfp4_fp8",
    "int4_wo": "int4",
    "sq": "int8",
}
"""Other names of the same formats, as configurations and measured tables write them."""


def number_format(name: str) -> NumberFormat:
    """The format called `name`; raises BadInput with the nearest names."""
    try:
        return DTYPES[ALIASES.get(name, name)]
    except KeyError:
        raise unknown("number format", name, [*DTYPES, *ALIASES]) from None


def bytes_of(name: str, elements: float) -> float:
    """Bytes that `elements` numbers of the format take, scales included."""
    return number_format(name).bytes_per_element * elements
