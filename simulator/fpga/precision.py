"""Number formats of a design: bits of features and weights, and the DSP that a product takes."""

from __future__ import annotations

import math
from typing import Literal

from ...base import BadInput, Count, Spec, unknown

Mark = Literal["published", "derived", "assumed"]
"""Where a figure of the resource model is from; `assumed` is from memory and unverified."""


class Precision(Spec, frozen=True, kw_only=True):
    """Bits of features and weights. dsp_per_feature, dsp_per_weight: DSP of a feature x feature and
    of a feature x weight product; per_dsp: such products that one DSP makes where they share an
    operand."""

    name: str
    feature_bits: Count
    weight_bits: Count
    dsp_per_feature: Count
    dsp_per_weight: Count
    per_dsp: Count = 1
    mark: Mark
    source: str

    def check_port(self, bits: int) -> None:
        """Raises BadInput for a port that no whole features or weights fill."""
        number = math.lcm(self.feature_bits, self.weight_bits)
        if bits % number:
            raise BadInput(
                f"must be a multiple of the {number} bits that features and weights of {self.name} "
                "fill",
                key="port_bits",
                value=bits,
            )


PRECISIONS: dict[str, Precision] = {
    "w16a32": Precision(
        name="w16a32",
        feature_bits=32,
        weight_bits=16,
        dsp_per_feature=4,
        dsp_per_weight=2,
        mark="derived",
        source="bits from UbiMoE's HLS headers; a DSP multiplies 27 x 18 bits (from memory, "
        "unverified), so 32 x 16 takes two and 32 x 32 four",
    ),
    "int16": Precision(
        name="int16",
        feature_bits=16,
        weight_bits=16,
        dsp_per_feature=1,
        dsp_per_weight=1,
        mark="derived",
        source="16 x 16 bits fit a DSP of 27 x 18 (from memory, unverified)",
    ),
    "int8": Precision(
        name="int8",
        feature_bits=8,
        weight_bits=8,
        dsp_per_feature=1,
        dsp_per_weight=1,
        per_dsp=2,
        mark="assumed",
        source="two 8-bit products with one operand in common fit one DSP (from memory, "
        "unverified); queries share a key, output channels share a feature",
    ),
}


def precision(name: str) -> Precision:
    """The format of that name; raises BadInput with the nearest names."""
    if name not in PRECISIONS:
        raise unknown("precision", name, PRECISIONS)
    return PRECISIONS[name]


def precision_of(**told: int) -> Precision:
    """The format of a design that tells bits and DSP a product: the known one, or its own, whose
    DSP makes one product."""
    for each in PRECISIONS.values():
        if all(getattr(each, name) == number for name, number in told.items()):
            return each
    name = f"w{told['weight_bits']}a{told['feature_bits']}"
    return Precision(name=name, mark="assumed", source="as the design says", **told)
