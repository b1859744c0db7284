"""moesaic kernel: the CUDA kernels, what the compiler makes of them, and blocks in time."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ..base import BadInput
from . import show
from .blocks import blocks

app = typer.Typer(
    no_args_is_help=True, help="CUDA kernels compiled without a GPU, and thread blocks in time."
)


@app.command("list")
def list_kernels(as_json: show.Json = False) -> None:
    """Lists the kernels, their registered configurations and the rules that bind them.

    Example: moesaic kernel list
    """
    from ..kernels import KERNELS

    if as_json:
        show.json([_facts(name) for name in KERNELS])
        return
    for name, kernel in KERNELS.items():
        rows = [(config, *values.values()) for config, values in kernel.configs.items()]
        show.table(f"{name}: {kernel.does}", ("configuration", *kernel.parameters), rows)
        show.table("", ("rule", "because"), [(c.rule, c.reason) for c in kernel.constraints])


@app.command()
def build(
    name: Annotated[str, typer.Argument(help="A kernel that `list` shows.")],
    arch: Annotated[str, typer.Option("--arch", help="One or more with commas, such as sm_90.")],
    config: Annotated[
        str, typer.Option("--config", help="Registered configurations with commas, or all.")
    ] = "all",
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="NAME=VALUE on top of the one configuration.")
    ] = None,
    as_json: show.Json = False,
) -> None:
    """Compiles to cubin and says what it needs, and whether and how full it can run.

    Example: moesaic kernel build grouped-gemm --arch sm_80,sm_90 --config gate-up-64x64
    Example: moesaic kernel build grouped-gemm --arch sm_90 --config down-64x128 --set STAGES=4
    """
    from ..kernels import build as compile_kernel
    from ..kernels import gate, kernel

    found = kernel(name)
    names = list(found.configs) if config == "all" else [part.strip() for part in config.split(",")]
    if changes and len(names) != 1:
        raise BadInput("changes one configuration: name it with --config NAME", key="--set")
    results = []
    for target in (part.strip() for part in arch.split(",")):
        for one in names:
            values = {**found.config(one), **_assignments(changes or [])}
            made = compile_kernel(found, values, target)
            results.append((f"{one} {' '.join(changes or [])}".strip(), made, gate(made)))
    if as_json:
        show.json([_result(label, made, verdict) for label, made, verdict in results])
        return
    show.table(
        f"{name}, {results[0][1].compiler}, no GPU used",
        ("arch", "configuration", "registers", "spilled", "shared KiB", "threads", "blocks/SM",
         "occupancy", "held by", "verdict"),
        [_row(label, made, verdict) for label, made, verdict in results],
        "registers and spilled bytes: of each thread, as the assembler reports them. blocks and "
        "occupancy: computed from the limits of the architecture.",
    )  # fmt: skip


@app.command()
def check(
    name: Annotated[str, typer.Argument(help="A kernel that `list` shows.")],
    seed: int = 0,
    as_json: show.Json = False,
) -> None:
    """Runs every registered configuration on this machine's GPU and compares it with float64.

    Example: moesaic kernel check grouped-gemm
    """
    from ..kernels import kernel
    from ..kernels.runners import check as run

    results = run(kernel(name), seed)
    if as_json:
        show.json(results)
    else:
        rows = [
            (one.config, one.arch, "-" if one.error is None else f"{one.error:.2e}",
             one.refused or ("right" if one.ok else "WRONG"))
            for one in results
        ]  # fmt: skip
        note = "error: the largest over the largest output, against float64; measured-here"
        show.table(name, ("configuration", "arch", "error", "verdict"), rows, note)
    if any(one.error is not None and not one.ok for one in results):
        raise typer.Exit(1)


app.command()(blocks)


def _assignments(changes: list[str]) -> dict[str, int]:
    values = {}
    for change in changes:
        name, _, value = change.partition("=")
        if not value.isdecimal() or len(value) > 6:
            raise BadInput("needs NAME=VALUE with a whole number", key="--set", value=change)
        values[name.strip()] = int(value)
    return values


def _facts(name: str) -> dict[str, Any]:
    from ..kernels import kernel

    found = kernel(name)
    return {
        "name": name,
        "does": found.does,
        "parameters": dict(found.parameters),
        "constraints": [{"rule": c.rule, "reason": c.reason} for c in found.constraints],
        "configs": {key: dict(values) for key, values in found.configs.items()},
    }


def _result(label: str, made: Any, verdict: Any) -> dict[str, Any]:
    return {
        "configuration": label,
        "arch": made.arch,
        "config": made.config,
        "compiler": made.compiler,
        "key": made.key,
        "cubin_hash": made.cubin_hash,
        "cubin_bytes": len(made.cubin),
        "resources": made.resources,
        "dynamic_shared_bytes": made.dynamic_shared_bytes,
        "threads": made.threads,
        "launchable": verdict.launchable,
        "gate": verdict,
    }


def _row(label: str, made: Any, verdict: Any) -> tuple[object, ...]:
    resources = made.resources
    words = "; ".join((*verdict.refusals, *verdict.warnings)) or "launchable"
    return (
        made.arch,
        label,
        resources.registers,
        resources.spill_store_bytes + resources.spill_load_bytes,
        f"{(made.dynamic_shared_bytes + resources.static_shared_bytes) / 1024:g}",
        made.threads,
        verdict.blocks,
        f"{verdict.occupancy:.1%}",
        verdict.limiter,
        words,
    )
