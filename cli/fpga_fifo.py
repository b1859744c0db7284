"""moesaic fpga fifo: the smallest FIFOs of an accelerator, and whether they are proven."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from ..base import BadInput
from ..base.files import check_writable
from . import fpga_question as f
from . import show

if TYPE_CHECKING:
    from ..simulator.fpga.fifo import Depths
    from ..simulator.fpga.graph import Graph
    from ..simulator.fpga.result import Run


def fifo(
    design: f.DesignName,
    model: f.Model = "m3vit-tiny",
    on: f.On = "zcu102",
    tokens: f.Tokens = "",
    clock: f.Clock = None,
    layers: Annotated[int, typer.Option(help="Layers of the model, from the first.")] = 2,
    cycles: Annotated[
        int | None, typer.Option(help="Cycles to end within; by default the design's own.")
    ] = None,
    fifos: Annotated[str, typer.Option(help="FIFOs to size; by default all that carry data.")] = "",
    most_runs: Annotated[int, typer.Option("--runs", help="Simulations a question.")] = 2000,
    json: show.Json = False,
    out: show.Out = None,
) -> None:
    """The FIFO depths of fewest bits with which a design ends at all, and with which it is in time.

    The first of them is proven: every cheaper choice is refuted by simulations that are counted.
    The second is too where no ports take turns at a memory. Requests to memories and the tokens
    that end their bursts, one bit each, stay as deep as they are. Without --tokens: the larger of
    the counts that the sources name. Ctrl-C during the second question shows the best so far.

    Example: moesaic fpga fifo ubimoe --tokens 197
    """
    from ..simulator.fpga.accelerators import accelerator
    from ..simulator.fpga.fifo import smallest_depths
    from ..simulator.fpga.run import simulate

    asked = f.asked(design, model, on, tokens, clock)
    if tokens and len(asked.tokens) > 1:
        raise BadInput("must be one number here", key="--tokens", value=tokens)
    if out is not None:
        check_writable(out, "--out")
    each = asked.tokens[-1]
    words: Any = (asked.design, asked.model, each, asked.board)
    graph = accelerator(*words, clock_hz=asked.clock_hz, layers=layers)
    names = [name.strip() for name in fifos.split(",") if name.strip()] or data_fifos(graph)
    run = simulate(graph)
    if run.deadlock is not None and cycles is None:
        show.say(f"as it is: {run.deadlock}")
    show.say("which depths end at all?")
    safe = smallest_depths(graph, None, names, safe=True, most_runs=most_runs)
    if safe.interrupted:
        raise KeyboardInterrupt
    limit = run.cycles if cycles is None and run.deadlock is None else cycles
    show.say("which depths are in time?")
    fast = smallest_depths(graph, limit, names, most_runs=most_runs)
    data = {"design": asked.name, "tokens": each, "layers": layers, "cycles": run.cycles}
    data |= {"safe": _plain(safe), "in_time": _plain(fast)}
    if out is not None:
        show.save_json(out, data)
    if json:
        show.json(data)
    else:
        _print(f"{asked.title}, {each} tokens, {layers} layers", graph, run, safe, fast)
    if fast.interrupted:
        raise KeyboardInterrupt


def data_fifos(graph: Graph) -> list[str]:
    """All FIFOs but those of requests to memories and of what ends their bursts."""
    ports = [port for memory in graph.memories for port in memory.ports]
    control = {name for port in ports for name in (port.request, port.done)}
    return [fifo.name for fifo in graph.fifos if fifo.name not in control]


def _plain(found: Depths) -> dict[str, Any]:
    data: dict[str, Any] = msgspec.to_builtins(found)
    return data | {"evidence": "simulated"}


def _print(title: str, graph: Graph, run: Run, safe: Depths, fast: Depths) -> None:
    """FIFO by FIFO, then what the depths are worth and how sure they are."""
    rows = [
        [
            fifo.name,
            fifo.bits,
            "none" if fifo.depth is None else fifo.depth,
            run.fifos[fifo.name].peak,
            safe.depths[fifo.name],
            fast.depths[fifo.name],
        ]
        for fifo in graph.fifos
        if fifo.name in safe.depths
    ]
    now = sum(fifo.bits * (fifo.depth or 0) for fifo in graph.fifos if fifo.name in safe.depths)
    rows.append(["bits in all", "", now, "", safe.bits, fast.bits])
    rows.append(["cycles", "", run.cycles, "", safe.cycles, fast.cycles])
    columns = ["FIFO", "bits", "depth", "peak", "ends at all", f"within {fast.limit} cycles"]
    notes = [
        f"Ends at all: {safe.proof} ({safe.runs} runs).",
        f"In time: {fast.proof} ({fast.runs} runs).",
        "All of it is simulated. Depth none: without bound, and not counted.",
    ]
    show.table(f"FIFO depths: {title}", columns, rows, note="\n".join(notes))
