"""Every constant of the resource and the energy model, with its mark and its source.

None was fitted to a board: the published totals of UbiMoE are only held beside what comes out.
"""

from __future__ import annotations

import msgspec

from .precision import Mark

MEMORY = "from memory, unverified"


class Coefficient(msgspec.Struct, frozen=True):
    """A constant of the resource or the energy model, and where it is from."""

    value: float
    unit: str
    mark: Mark
    source: str


COEFFICIENTS: dict[str, Coefficient] = {
    "exp_dsp": Coefficient(
        7, "DSP", "published",
        "HG-PIPE (arXiv 2407.17879): a naive exponential; another accelerator's, D_exp of UbiMoE "
        "is not published",
    ),
    "exp_lut": Coefficient(500, "LUT", "assumed", f"an exponential unit, {MEMORY}"),
    "guard_bits": Coefficient(8, "bits", "assumed", "room for sums of 256 products"),
    "adder_lut": Coefficient(
        1, "LUT/bit", "derived", "a bit of a carry chain takes one LUT"
    ),
    "adder_ff": Coefficient(
        2, "FF/bit", "assumed", "one register behind each product, one behind each sum"
    ),
    "divider_lut": Coefficient(
        1, "LUT/bit^2", "derived", "a pipelined divider subtracts once for each bit of its quotient"
    ),
    "divider_ff": Coefficient(
        2, "FF/bit^2", "derived", "rest and quotient are registered after each subtraction"
    ),
    "ports_per_copy": Coefficient(
        4, "ports", "derived", "one each for queries, keys, values and the output"
    ),
    "other_ports": Coefficient(
        4, "ports", "derived", "features in and out, weights, the gate's features"
    ),
    "port_lut": Coefficient(2000, "LUT", "assumed", f"an AXI port, {MEMORY}"),
    "port_ff": Coefficient(3000, "FF", "assumed", f"an AXI port, {MEMORY}"),
    "burst_beats": Coefficient(512, "beats", "assumed", "a port buffers as much"),
    "control_lut": Coefficient(10_000, "LUT", "assumed", f"interconnect and control, {MEMORY}"),
    "control_ff": Coefficient(15_000, "FF", "assumed", f"interconnect and control, {MEMORY}"),
    "lut_ram_words": Coefficient(
        64, "words", "assumed", f"buffers up to this deep lie in LUT, 64 bits each; {MEMORY}"
    ),
    "weight_buffers": Coefficient(2, "matrices", "published", "UbiMoE: ping and pong"),
    "image_buffers": Coefficient(
        2, "images", "assumed",
        "UbiMoE double-buffers attention against experts; that the features lie on the chip is "
        "assumed",
    ),
    "die_clock": Coefficient(
        250e6, "Hz", "assumed", f"the most for a design that spans dies, {MEMORY}"
    ),
    "dsp_j": Coefficient(10e-12, "J/cycle", "assumed", f"a DSP at work, {MEMORY}"),
    "bram_j": Coefficient(15e-12, "J/cycle", "assumed", f"a block RAM at work, {MEMORY}"),
    "uram_j": Coefficient(30e-12, "J/cycle", "assumed", f"an UltraRAM at work, {MEMORY}"),
    "lut_j": Coefficient(0.05e-12, "J/cycle", "assumed", f"a LUT at work, {MEMORY}"),
    "ff_j": Coefficient(0.02e-12, "J/cycle", "assumed", f"a flip-flop at work, {MEMORY}"),
    "ddr_j": Coefficient(160e-12, "J/B", "assumed", f"DDR4 with its bus, {MEMORY}"),
    "hbm_j": Coefficient(
        31e-12, "J/B", "assumed", f"HBM2, 3.9 pJ/bit, {MEMORY}"
    ),
    "static_w": Coefficient(1.0, "W", "assumed", f"a board that stands idle, {MEMORY}"),
    "static_lut_w": Coefficient(
        10e-6, "W/LUT", "assumed", f"leakage for each LUT of the device, {MEMORY}"
    ),
}  # fmt: skip


def value(name: str) -> float:
    return COEFFICIENTS[name].value
