"""Accelerators for MoE vision transformers as published: their parameters and what boards gave."""

from __future__ import annotations

import msgspec

from ...base import BadInput, Count, Positive, Spec, unknown
from ...base.spec import build, load_toml
from ...hardware import Fpga
from .closed_forms import attention_dsp, linear_dsp

MOST = 2**24
"""Of any size in a design: far beyond what a board holds, and small enough to be counted."""


class Design(Spec, frozen=True, kw_only=True):
    """A streaming attention kernel and one linear kernel that all matrices share.

    tin, tout: the linear kernel's tile; linear_units: NL, tokens at once; queries: Na (p), queries
    at once. Features and weights of so many bits pass ports of `port_bits`. dsp_per_feature, _per_
    weight: DSP of a feature x feature and a feature x weight product. patch_inputs: numbers of one
    patch. fused_attention: QK^T and AV run in one dataflow region, scores stay on the chip.

    What only the simulation in time asks for: score_rows: depth of the FIFO between QK^T and AV in
    key rows (None: one a token, as UbiMoE has it); weight_buffers: matrices held at once;
    softmax_interval: cycles between two experts in the gate's softmax (UbiMoE's HLS); packs_tiles:
    the linear kernel's reader packs beats to tiles of `tin` features (Edge-MoE's HLS);
    skips_full_queues: the reader tells the writer no places where an expert has all tokens, though
    the writer waits for them (Edge-MoE's HLS). Assumed, no
    source states them: pipeline_cycles, from a kernel's input to its output; memory_latency_s, from
    a burst's grant to its first beat; burst_beats, the longest burst; bursts_ahead, of a port.
    """

    tin: Count = 16
    tout: Count = 16
    linear_units: Count = 1
    queries: Count = 4
    feature_bits: Count = 32
    weight_bits: Count = 16
    port_bits: Count = 256
    dsp_per_feature: Count = 4
    dsp_per_weight: Count = 2
    patch_inputs: Count = 768
    fused_attention: bool = False
    score_rows: Count | None = None
    weight_buffers: Count = 2
    softmax_interval: Count = 3
    packs_tiles: bool = False
    skips_full_queues: bool = False
    pipeline_cycles: Count = 10
    memory_latency_s: Positive = 200e-9
    burst_beats: Count = 16
    bursts_ahead: Count = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.port_bits < max(self.feature_bits, self.weight_bits):
            raise ValueError(f"`port_bits` {self.port_bits} is narrower than one number")
        for name in self.__struct_fields__:
            if isinstance(value := getattr(self, name), int) and value > MOST:
                raise ValueError(f"`{name}` must be at most {MOST}, got {value}")
        if self.memory_latency_s > 1:
            raise ValueError(f"`memory_latency_s` must be at most 1, got {self.memory_latency_s}")

    @property
    def lanes(self) -> int:
        """Features a cycle on one port."""
        return self.port_bits // self.feature_bits

    @property
    def weights_per_beat(self) -> int:
        return self.port_bits // self.weight_bits

    @property
    def dsp(self) -> int:
        """DSP of the products; exponentials are unpublished and left out, so at least this many."""
        attention = attention_dsp(self.dsp_per_feature, self.lanes, self.queries)
        linear = linear_dsp(self.dsp_per_weight, self.tin, self.tout, self.linear_units)
        return int(attention + linear)

    def check(self, board: Fpga) -> None:
        """Raises BadInput for a board without the DSP that the products need."""
        if self.dsp > board.dsp:
            raise BadInput(
                f"has {board.dsp} DSP; the design's products need {self.dsp} "
                f"({self.dsp - board.dsp} too many)",
                key=board.name,
            )


class EdgeMoe(Design, frozen=True, kw_only=True, tag_field="design", tag="edge-moe"):
    """Edge-MoE (ICCAD 2023; parameters from sharc-lab/Edge-MoE): scores go through memory."""

    packs_tiles: bool = True
    skips_full_queues: bool = True


class UbiMoe(Design, frozen=True, kw_only=True, tag_field="design", tag="ubimoe"):
    """UbiMoE (arXiv 2502.05602) with the defaults of its repository; what each board ran with is
    unpublished."""

    linear_units: Count = 3
    fused_attention: bool = True


DESIGNS: dict[str, Design] = {"edge-moe": EdgeMoe(), "ubimoe": UbiMoe()}


def design(name: str) -> Design:
    """The published design of that name, or one from a .toml: `design = "ubimoe"` and what it has
    otherwise. Raises BadInput with the nearest names."""
    if name.endswith(".toml"):
        table = load_toml(name)
        kind = table.get("design")
        if not isinstance(kind, str) or kind not in DESIGNS:
            raise BadInput(f"must be {' or '.join(DESIGNS)}", file=name, key="design", value=kind)
        return build(type(DESIGNS[kind]), table, name)
    if name not in DESIGNS:
        raise unknown("FPGA design", name, DESIGNS)
    return DESIGNS[name]


class BoardResult(msgspec.Struct, frozen=True, kw_only=True):
    """One image on a real board, as a paper prints it; tokens: what the sources say of it, which do
    not agree. `dsp` where it is printed too."""

    board: str
    model: str
    tokens: tuple[int, ...]
    clock_hz: Positive
    latency_s: Positive
    power_w: Positive
    dsp: int | None
    source: str


PUBLISHED: dict[str, BoardResult] = {
    "edge-moe": BoardResult(
        board="zcu102",
        model="m3vit-tiny",
        tokens=(129, 197),
        clock_hz=300e6,
        latency_s=34.64e-3,
        power_w=14.54,
        dsp=None,
        source="CoQMoE (arXiv 2506.08496), tables 2-3, from a secondary public source",
    ),
    "ubimoe": BoardResult(
        board="zcu102",
        model="m3vit-tiny",
        tokens=(129, 197),
        clock_hz=300e6,
        latency_s=25.76e-3,
        power_w=11.50,
        dsp=1850,
        source="UbiMoE (arXiv 2502.05602), tables I-III, from a secondary public source",
    ),
}
"""By design. Neither source settles whether an image was 129 tokens (128 x 256) or 197 (224 x 224):
the op counts say 197, the data set's sentence 129. Show both."""


def published(name: str, board: str, model: str, clock_hz: float) -> BoardResult | None:
    """The board's result where that design ran that model on that board at that clock (to 1%)."""
    found = PUBLISHED.get(name)
    if found is None or (found.board, found.model) != (board, model):
        return None
    return found if abs(clock_hz / found.clock_hz - 1) <= 0.01 else None
