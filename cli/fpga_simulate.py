"""moesaic fpga simulate: an accelerator cycle by cycle, and what its parts wait for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..base import BadInput
from ..base.files import check_writable
from . import fpga_question as f
from . import show

if TYPE_CHECKING:
    from ..simulator.fpga import Bracket
    from ..simulator.fpga.accelerators import Simulated
    from ..simulator.fpga.result import Run

WORKERS = ("linear.compute", "qk", "softmax", "av", "gate", "norm.scale", "weights.load")
"""The processes that compute or load: who is busy, and why not."""
MOST_REASONS = 3


def simulate(
    design: f.DesignName,
    model: f.Model,
    on: f.On,
    tokens: f.Tokens = "",
    clock: f.Clock = None,
    images: Annotated[int, typer.Option(help="Images at once: 1, or 2.")] = 1,
    one_expert: Annotated[
        bool, typer.Option("--one-expert", help="All tokens choose expert 0 first.")
    ] = False,
    counts: Annotated[
        Path | None, typer.Option(help="Recorded routing: an image's queues are as it deals them.")
    ] = None,
    part: Annotated[str | None, typer.Option(help="Which counts of a file with several.")] = None,
    image: Annotated[int, typer.Option(min=0, help="Which image of --counts.")] = 0,
    trace: Annotated[
        Path | None, typer.Option(help="Write a timeline for ui.perfetto.dev to this JSON file.")
    ] = None,
    json: show.Json = False,
    out: show.Out = None,
) -> None:
    """One image (or two at once) through a design, cycle by cycle: processes, FIFOs, memory bursts.

    The closed-form bracket and the board's own latency stand beside it. Without --tokens: both
    counts that the sources of a published design name, or the image size of the model. A deadlock
    is an answer (exit code 0), told by its cycle of waits.

    Example: moesaic fpga simulate ubimoe --on zcu102 --model m3vit-tiny
    """
    from ..simulator.fpga import estimate

    asked = f.asked(design, model, on, tokens, clock)
    if trace is not None and len(asked.tokens) > 1:
        raise BadInput("is of one image size: name one with --tokens", key="--trace")
    if one_expert and counts is not None:
        raise BadInput("are two routings: choose one", key="--one-expert and --counts")
    if counts is None and (part is not None or image):
        raise BadInput("go with --counts", key="--part and --image")
    for key, path in (("--trace", trace), ("--out", out)):
        if path is not None:
            check_writable(path, key)
    found, brackets = [], []
    for each in asked.tokens:
        show.say(f"simulating {images} x {each} tokens")
        queues = _one_expert(asked, each) if one_expert else None
        if counts is not None:
            queues = _recorded(asked, counts, part, each, image)
        words: Any = (asked.design, asked.model, each, asked.board, asked.clock_hz, queues)
        brackets.append(estimate(*words))
        found.append(_simulated(words, images))
    if trace is not None:
        _write_trace(trace, found[0])
    data = _plain(asked, found, brackets)
    if out is not None:
        show.save_json(out, data)
    if json:
        show.json(data)
        return
    _print(asked, found, brackets)


def _simulated(words: Any, images: int) -> Simulated:
    from ..simulator.fpga.accelerators import simulate_images

    *four, clock_hz, queues = words
    return simulate_images(*four, clock_hz=clock_hz, queues=queues, images=images)


def _one_expert(asked: f.Asked, tokens: int) -> Any:
    """Queues where expert 0 has every token, and the others their further choices evenly."""
    block, layers = asked.model.experts, len(asked.model.moe_layers)
    rest, others = (block.top_k - 1) * tokens, block.count - 1
    row = [tokens, *(rest // others + (i < rest % others) for i in range(others))]
    return [row] * layers


def _recorded(asked: f.Asked, counts: Path, part: str | None, tokens: int, image: int) -> Any:
    """Queues `[moe_layers, experts]` of an image as a recorded routing deals its tokens."""
    from ..sweeps.fpga.queues import recorded
    from ..workload.readers.detect import load

    images = recorded(load(counts, part=part), asked.model, tokens)
    if image >= len(images):
        raise BadInput(f"must lie below {len(images)}, the images", key="--image", value=image)
    return images[image]


def _write_trace(path: Path, found: Simulated) -> None:
    from ..base.files import write_text
    from ..simulator.fpga.perfetto import perfetto

    write_text(path, perfetto(found.run, found.clock_hz))
    show.say(f"wrote {path}")


def _plain(asked: f.Asked, found: list[Simulated], brackets: list[Bracket]) -> dict[str, Any]:
    published = asked.published(found[0].clock_hz)
    return {
        "design": asked.name,
        "model": asked.model.name,
        "on": asked.board.name,
        "simulations": [
            {
                "tokens": one.tokens,
                "images": one.images,
                "clock_hz": one.clock_hz,
                "cycles": one.run.cycles,
                "seconds": one.seconds if one.ended else None,
                "images_per_s": one.images_per_s if one.ended else None,
                "deadlock": None if one.ended else str(one.run.deadlock),
                "kernels_s": one.kernels if one.ended else None,
                "full_overlap_s": bracket.full_overlap_s,
                "no_overlap_s": bracket.no_overlap_s,
                "processes": {name: _process(one.run, name) for name in one.run.processes},
                "unbalanced": {name: str(end) for name, end in one.unbalanced.items()},
                "fifo_peaks": {name: fifo.peak for name, fifo in one.run.fifos.items()},
                "evidence": one.evidence,
            }
            for one, bracket in zip(found, brackets, strict=True)
        ],
        "published_s": None if published is None else published.latency_s,
    }


def _process(run: Run, name: str) -> dict[str, Any]:
    process = run.processes[name]
    stalls = {_reason(reason): cycles for reason, cycles in process.stalls.items()}
    return {"steps": process.steps, "busy_cycles": process.busy, "stalled_cycles": stalls}


def _reason(reason: Any) -> str:
    return f"{reason.kind} {reason.fifo}".strip()


def _print(asked: f.Asked, found: list[Simulated], brackets: list[Bracket]) -> None:
    """Tables of what came to its end; of what did not, why."""
    for one in found:
        for name, end in one.unbalanced.items():
            print(f"{asked.name}, {one.tokens} tokens, from the graph: {name} is unbalanced: {end}")
        if not one.ended:
            print(f"{asked.name}, {one.tokens} tokens: {one.run.deadlock}")
    pairs = zip(found, brackets, strict=True)
    ended = [(one, bracket) for one, bracket in pairs if one.ended]
    if ended:
        _print_times(asked, *zip(*ended, strict=True))
    for one, _ in ended:
        _print_workers(one)


def _print_times(
    asked: f.Asked, found: tuple[Simulated, ...], brackets: tuple[Bracket, ...]
) -> None:
    """Kernel by kernel, the whole, and what the closed forms and the board say."""
    names = dict.fromkeys(name for one in found for name in one.kernels)
    rows = [[name, *(_ms(one.kernels.get(name, 0.0)) for one in found)] for name in names]
    several = "" if found[0].images == 1 else f", {found[0].images} images at once"
    rows.append([f"simulated{several}", *(_ms(one.seconds) for one in found)])
    rows.append(
        ["closed form, full overlap", *(_ms(bracket.full_overlap_s) for bracket in brackets)]
    )
    rows.append(["closed form, no overlap", *(_ms(bracket.no_overlap_s) for bracket in brackets)])
    published = asked.published(found[0].clock_hz)
    note = "A kernel's time: from when it begins to read until the next one does (simulated)."
    if found[0].images > 1:
        note += " Kernels of both images are mixed; the closed forms are of one image."
    if published is not None:
        at = [_ms(published.latency_s) if one.tokens in published.tokens else "-" for one in found]
        rows.append(["board (measured-published)", *at])
        note += f" Board: {published.source}; its token count is unsettled."
    columns = ["ms at", *(f"{one.tokens} tokens" for one in found)]
    show.table(asked.title, columns, rows, note=note)


def _print_workers(one: Simulated) -> None:
    rows = []
    for name in WORKERS:
        process = one.run.processes.get(name)
        if process is None:
            continue
        worst = sorted(process.stalls.items(), key=lambda item: -item[1])[:MOST_REASONS]
        reasons = [f"{_reason(reason)} {cycles / one.run.cycles:.0%}" for reason, cycles in worst]
        rows.append([name, f"{process.busy / one.run.cycles:.0%}", ", ".join(reasons) or "-"])
    bus = one.run.memories["memory"]
    rows.append(["memory bus", f"{bus.busy / one.run.cycles:.0%}", "-"])
    show.table(
        f"Who works at {one.tokens} tokens",
        ["process", "busy", "waits (share of all cycles): why, which FIFO"],
        rows,
    )


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.2f}"
