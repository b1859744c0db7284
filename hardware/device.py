"""Device: one processor with its memory, as published. Peaks are dense; sparse ones stay out."""

from __future__ import annotations

from collections.abc import Container

import msgspec

from ..base import DTYPES, BadInput, Count, Natural, NonNegative, Positive, Spec, number_format
from .gang import Gang
from .memory import Memory


class Device(Spec, frozen=True, kw_only=True):
    """What every kind of device states.

    peak_flops_per_s: dense peak by number format ('bf16', 'fp8', 'int8', ...), in FLOP/s, a
    multiply-add counted as two. power_w: the board's limit. energy_j_per_flop and the memory's
    energy are published constants, absent where no source gives them. sources: origin of each
    figure by dotted path.
    """

    name: str
    vendor: str
    year: Count | None = None
    memory: Memory
    peak_flops_per_s: dict[str, Positive]
    clock_hz: Positive | None = None
    power_w: Positive | None = None
    area_m2: Positive | None = None
    energy_j_per_flop: NonNegative | None = None
    price_usd_per_hour: NonNegative | None = None
    notes: str = ""
    sources: dict[str, str] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        peaks = self.peak_flops_per_s
        if not peaks:
            raise ValueError("`peak_flops_per_s` must name at least one number format")
        if wrong := peaks.keys() - PEAKS:
            raise ValueError(
                f"`peak_flops_per_s` names {min(wrong)!r}; allowed are {', '.join(sorted(PEAKS))}"
            )
        if "bf16" in peaks and "fp8" in peaks:
            ratio = peaks["fp8"] / peaks["bf16"]
            # Vendors print sparse peaks beside dense ones; a wrong pick shows in this ratio.
            if not (0.98 <= ratio <= 1.02 or 1.96 <= ratio <= 2.04):
                raise ValueError(
                    f"`peak_flops_per_s` has fp8/bf16 = {ratio:.2f}; dense peaks give 1 or 2 "
                    "(a sparse peak was probably taken for a dense one)"
                )

    def peak(self, dtype: str) -> float:
        """The dense peak in FLOP/s at which operands of `dtype` are multiplied.

        A format that the device does not multiply runs at the next wider rate it has (fp4 -> fp8
        -> bf16 -> fp32). Raises BadInput where none is left.
        """
        name = multiplied_as(number_format(dtype).compute, self.peak_flops_per_s)
        if name is not None:
            return self.peak_flops_per_s[name]
        raise BadInput(
            f"{self.name} has no peak for {dtype}; it has {', '.join(self.peak_flops_per_s)}",
            key="peak_flops_per_s",
        )


PEAKS = {"fp64", *(form.compute for form in DTYPES.values())}
"""The formats that a peak may be stated for: what products are computed in."""

_WIDER = {
    "fp4": ("fp8", "bf16", "fp32"),
    "fp8": ("bf16", "fp32"),
    "int8": ("int16", "bf16", "fp32"),
    "int16": ("bf16", "fp32"),
    "bf16": ("int16", "fp32"),
    "tf32": ("fp32",),
}
"""The formats that can stand in for one that a device lacks, nearest first."""


def multiplied_as(wanted: str, peaks: Container[str]) -> str | None:
    """Which of `peaks` products of the format run at: its own, else the next wider one."""
    return next((name for name in (wanted, *_WIDER.get(wanted, ())) if name in peaks), None)


class Cache(Spec, frozen=True, kw_only=True):
    """The last cache on the die: its size, and its bandwidth where a source gives one.

    partitions: parts that each serve the units near them; data read from all units is then held
    once in each.
    """

    capacity_bytes: Positive
    bandwidth_bytes_per_s: Positive | None = None
    partitions: Count = 1


class Gpu(Device, frozen=True, kw_only=True, tag_field="kind", tag="gpu"):
    """A GPU or a like accelerator. `units`: streaming multiprocessors, CUs or cores."""

    architecture: str
    units: Count | None = None
    cache: Cache | None = None
    shared_memory_bytes_per_unit: Positive | None = None
    register_bytes_per_unit: Positive | None = None
    host_bandwidth_bytes_per_s: Positive | None = None


class Pim(Device, frozen=True, kw_only=True, tag_field="kind", tag="pim"):
    """Units beside or inside the DRAM of one device.

    level: where they sit. memory.bandwidth_bytes_per_s is what the *host* sees on the same
    memory; `internal_bandwidth_bytes_per_s` and `internal_energy_j_per_byte` are what the units
    see. All figures are those of one device: its stacks together. `host` is the processor that
    shares the memory and does what the units cannot (a catalogue name in TOML), or is None. `gang`:
    the banks that a unit opens and reads together, where the memory core simulates them; it needs
    `memory.timing`.
    """

    level: str
    stacks: Count
    internal_bandwidth_bytes_per_s: Positive
    internal_energy_j_per_byte: NonNegative | None = None
    buffer_bytes: Positive | None = None
    host: Gpu | None = None
    gang: Gang | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.gang is not None and self.memory.timing is None:
            raise ValueError("`gang` needs `memory.timing`, the memory whose banks it takes")
        if self.level not in PIM_LEVELS:
            raise ValueError(f"`level` must be one of {', '.join(PIM_LEVELS)}, got {self.level!r}")


PIM_LEVELS = ("bank", "bank-group", "logic-die", "buffer-die")


class Fpga(Device, frozen=True, kw_only=True, tag_field="kind", tag="fpga"):
    """A board: the resources a design may use. bram36: blocks of 36 kbit; uram: of 288 kbit.

    dies: silicon dies (SLRs) side by side, among which the resources are shared evenly but for the
    DSP where `die_dsp` lists them; die_wires: wires between a die and the next.
    `peak_flops_per_s` is derived: every DSP block multiplies and adds once a cycle at `clock_hz`
    (twice for int8 where two products fit one DSP).
    """

    part: str
    lut: Count
    ff: Count
    dsp: Count
    bram36: Count
    uram: int = 0
    ai_engines: int = 0
    dies: Count = 1
    die_dsp: tuple[Count, ...] = ()
    die_wires: Natural = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.die_dsp and (len(self.die_dsp) != self.dies or sum(self.die_dsp) != self.dsp):
            raise ValueError(f"`die_dsp` must give {self.dies} dies the {self.dsp} DSP together")


class Cpu(Device, frozen=True, kw_only=True, tag_field="kind", tag="cpu"):
    """A CPU socket or this machine. `core_flops_per_s`: one core alone, float32."""

    cores: Count
    isa: str
    core_flops_per_s: Positive | None = None
    cache: Cache | None = None


AnyDevice = Gpu | Pim | Fpga | Cpu
