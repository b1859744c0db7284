"""moesaic: the command. Names of commands lead to files, which are opened when asked for."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from typing import NamedTuple

from .. import __version__
from ..base import BadInput, unknown


class Command(NamedTuple):
    """A word of the command line: the file that knows it, and what it does."""

    file: str
    does: str


COMMANDS: dict[str, Command] = {
    "estimate": Command("estimate", "time of a step, its limiter, and why"),
    "simulate": Command("simulate", "a step in time on every device: a timeline for Perfetto"),
    "serve": Command("serve", "requests served in time: throughput, waits, energy"),
    "pim": Command("pim", "units in memory: bandwidth of bank gangs, crossover with the GPU"),
    "fpga": Command("fpga", "FPGA accelerators: simulate, fifo, search, rtl, ..."),
    "place": Command("place", "where experts live: solve, check, compare"),
    "kernel": Command(
        "kernel", "CUDA kernels: list, build, check, explain; thread blocks in time: blocks"
    ),
    "tune": Command("tune", "kernels tuned by few measurements: run, replay, tiles, survey, fit"),
    "compare": Command("compare", "predictions held against measurements, signed errors"),
    "calibrate": Command("calibrate", "constants of the tile model from measurements"),
    "reproduce": Command("reproduce", "published claims beside ours: duplex, moetuner, ..."),
    "sweep": Command("sweep", "design spaces: plan, run, resume, front, knobs, why, query"),
    "report": Command("report", "a finished sweep as one page: fronts, winners, knobs"),
    "run": Command("run", "a whole study: STUDY.toml in, report out"),
    "model": Command("model", "MoE models: list, show"),
    "hardware": Command("hardware", "machines: list, show, check"),
    "dram": Command("dram", "memories cycle by cycle: list, run, check, map"),
    "trace": Command("trace", "routing traces: show, import, make"),
    "measured": Command("measured", "measured tables: list, import"),
}

EXAMPLES = (
    "moesaic estimate mixtral-8x7b --on dgx-h100 --tp 2 --batch 1,16,64 --context 2048 --why",
    "moesaic place solve examples/data/tiny_mixtral_E16k2_seed0.npz --on dgx-h100 --out map.json",
    "moesaic compare --what moe --on h100-sxm --model roofline",
)


def help_text() -> str:
    """What `moesaic --help` prints: made from the table, so that no command is opened for it."""
    width = max(map(len, COMMANDS))
    lines = [
        "moesaic: how fast will this Mixture-of-Experts model run on that machine, why, where",
        "should each expert live, and which kernel should run it?",
        "",
        "Usage: moesaic COMMAND [WORDS] [OPTIONS]      (moesaic COMMAND --help tells more)",
        "",
        *(f"  {name:<{width}}  {command.does}" for name, command in COMMANDS.items()),
        "",
        "  --help, --version; every command prints tables, or JSON with --json.",
        "",
        "Examples:",
        *(f"  {line}" for line in EXAMPLES),
    ]
    return "\n".join(lines)


INTERRUPTED = 130
"""What a shell reports of a program that Ctrl-C ended."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; its exit code: 0 done, 1 broken off, 2 unusable input, 130 Ctrl-C."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        if not words or words[0] in ("--help", "-h", "help"):
            print(help_text())
            return 0
        if words[0] == "--version":
            print(f"moesaic {__version__}")
            return 0
        if words[0] not in COMMANDS:
            raise unknown("command", words[0], COMMANDS)
        return _run(words[0], words[1:])
    except BadInput as fault:
        print(f"moesaic: {fault}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("moesaic: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader went away (`moesaic ... | head`); keep the interpreter from complaining.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _run(name: str, words: list[str]) -> int:
    import typer

    app = importlib.import_module(f".{COMMANDS[name].file}", __package__).app
    # Typer's own completion would be installed for a program called `moesaic NAME`.
    command = typer.main.get_command(app)
    command.params = [p for p in command.params if "completion" not in str(p.name)]
    try:
        command.main(words, prog_name=f"moesaic {name}")
    except SystemExit as end:
        if end.code == INTERRUPTED:  # typer turns Ctrl-C into it, without a word
            print("moesaic: interrupted", file=sys.stderr)
        return end.code if isinstance(end.code, int) else 0
    return 0
