"""The words that the fpga commands share: a design for a model on a board, at a clock."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from ..base import BadInput
from ..base.units import parse
from . import question as q

if TYPE_CHECKING:
    from ..hardware import Fpga
    from ..simulator.fpga import BoardResult, Design
    from ..workload import MoEModel

DesignName = Annotated[str, typer.Argument(help="A design: `moesaic fpga list`, or a .toml.")]
Model = Annotated[str, typer.Option("--model", help="A vision model of the catalogue.")]
On = Annotated[str, typer.Option("--on", help="An FPGA board of the catalogue, or a .toml.")]
Tokens = Annotated[str, typer.Option(help="Tokens of an image: one number or several.")]
Clock = Annotated[str | None, typer.Option(help="Such as '250 MHz'; the board's by default.")]


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What the words name. clock_hz None: the board's."""

    name: str
    design: Design
    model: MoEModel
    board: Fpga
    tokens: list[int]
    clock_hz: float | None

    @property
    def title(self) -> str:
        return f"{self.name} runs {self.model.name} on {self.board.name}"

    def published(self, clock_hz: float) -> BoardResult | None:
        """What a real board took, where a paper says so."""
        from ..simulator.fpga import published

        return published(self.name, self.board.name, self.model.name, clock_hz)


def asked(design: str, model: str, on: str, tokens: str, clock: str | None) -> Asked:
    """Raises BadInput for a word that names nothing. Without tokens: those that the sources name
    where the design was published with that model on that board, else the model's own image."""
    from ..simulator.fpga import PUBLISHED
    from ..simulator.fpga import design as design_of

    chosen, found, board = design_of(design), q.model_of(model, None), board_of(on)
    known = PUBLISHED.get(design)
    if not tokens and known and (known.model, known.board) == (found.name, board.name):
        tokens = ",".join(map(str, known.tokens))
    if not tokens and found.image_tokens is None:
        raise BadInput(f"must be given: {found.name} states no image size", key="--tokens")
    return Asked(
        name=design,
        design=chosen,
        model=found,
        board=board,
        tokens=q.numbers(tokens or str(found.image_tokens), "--tokens"),
        clock_hz=None if clock is None else _hertz(clock),
    )


def board_of(name: str) -> Fpga:
    """An FPGA of the catalogue or of a file."""
    from ..hardware import Fpga
    from ..hardware.load import device

    found = device(Path(name) if name.endswith(".toml") else name)
    if not isinstance(found, Fpga):
        raise BadInput("is no FPGA; `moesaic hardware list --kind fpga`", key=name)
    return found


def _hertz(text: str) -> float:
    try:
        return parse(text, "Hz")
    except BadInput as fault:
        raise BadInput(fault.what, key="--clock", value=text) from None
