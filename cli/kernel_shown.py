"""The kernels, their builds, checks and explanations, as tables and as data."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .. import __version__
from ..base import BadInput
from . import show

if TYPE_CHECKING:
    from ..kernels import Build, Checked, Explained, Kernel, Target
    from ..kernels.compiled.explain import Traffic

MOST_ROWS = 24
"""Of checks that are shown one by one."""


def facts(kernel: Kernel) -> dict[str, Any]:
    return {
        "name": kernel.name,
        "does": kernel.does,
        "parameters": dict(kernel.parameters),
        "constraints": [{"rule": c.rule, "reason": c.reason} for c in kernel.constraints],
        "configs": {key: dict(values) for key, values in kernel.configs.items()},
        "shapes": dict(kernel.shapes),
    }


def show_kernel(kernel: Kernel) -> None:
    rows = [(config, *values.values()) for config, values in kernel.configs.items()]
    show.table(f"{kernel.name}: {kernel.does}", ("configuration", *kernel.parameters), rows)
    show.table("", ("rule", "because"), [(c.rule, c.reason) for c in kernel.constraints])


def build_facts(target: Target, made: Build | BadInput) -> dict[str, Any]:
    from ..kernels import gate

    head = {"kernel": target.kernel.name, "configuration": target.name, "arch": target.arch}
    if isinstance(made, BadInput):
        return {**head, "config": dict(target.config), "refused": str(made)}
    verdict = gate(made)
    return {
        **head,
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


def show_builds(made: Sequence[tuple[Target, Build | BadInput]]) -> None:
    show.table(
        "built without a GPU",
        ("arch", "kernel", "configuration", "registers", "spilled", "shared KiB", "threads",
         "blocks/SM", "occupancy", "held by", "verdict"),
        [_build_row(target, one) for target, one in made],
        "registers and spilled bytes: of each thread, as the assembler reports them. blocks and "
        "occupancy: computed from the limits of the architecture.",
    )  # fmt: skip


def _build_row(target: Target, made: Build | BadInput) -> tuple[object, ...]:
    from ..kernels import gate

    head = (target.arch, target.kernel.name, target.name)
    if isinstance(made, BadInput):
        return *head, *[""] * 7, str(made)
    verdict = gate(made)
    return (
        *head,
        made.resources.registers,
        made.resources.spilled_bytes,
        f"{made.shared_bytes / 1024:g}",
        made.threads,
        verdict.blocks,
        f"{verdict.occupancy:.1%}",
        verdict.limiter,
        "; ".join((*verdict.refusals, *verdict.warnings)) or "launchable",
    )


def check_facts(done: Sequence[Checked], on: str, asked: int) -> dict[str, Any]:
    """The results, and what they rest on."""
    data: dict[str, Any] = {
        "all_right": len(done) == asked and all(one.verdict == "right" for one in done),
        "asked": asked,
        "evidence": "simulated" if on == "cpu" else "measured-here",
        "moesaic": __version__,
        "machine": f"{platform.system()} {platform.machine()}",
        "results": list(done),
    }
    if on == "gpu":
        from ..kernels.runners import local_gpu

        data["gpu"] = local_gpu()
    return data


def show_checks(done: Sequence[Checked]) -> None:
    if len(done) > MOST_ROWS:
        _show_counts(done)
    listed = [
        one for one in done if one.seconds or one.verdict != "right" or len(done) <= MOST_ROWS
    ]
    if not listed:
        return
    columns = ["arch", "kernel", "configuration", "launches", "worst error / bound", "verdict"]
    timed = any(one.seconds for one in listed)
    show.table(
        "",
        [*columns, "bits unlike the executor's", "microseconds"] if timed else columns,
        [_check_row(one)[: len(columns) + 2 * timed] for one in listed],
        CHECK_NOTE,
    )


CHECK_NOTE = (
    "right: every output of every shape lies within the error that its number formats allow "
    "around float64, and no launch did what it must not."
)


def _show_counts(done: Sequence[Checked]) -> None:
    verdicts = ("right", "wrong", "faulty", "refused")
    rows = []
    for kernel, arch in dict.fromkeys((one.kernel, one.arch) for one in done):
        part = [one for one in done if (one.kernel, one.arch) == (kernel, arch)]
        count = Counter(str(one.verdict) for one in part)
        launches = sum(len(one.shapes) for one in part)
        worst = max(one.excess for one in part)
        rows.append((kernel, arch, launches, *(count[word] for word in verdicts), f"{worst:.3f}"))
    heads = ("kernel", "arch", "launches", *verdicts, "worst error / bound")
    show.table(f"{len(done)} configurations", heads, rows, CHECK_NOTE)


def _check_row(one: Checked) -> tuple[object, ...]:
    return (
        one.arch,
        one.kernel,
        one.config,
        len(one.shapes),
        f"{one.excess:.3f}" if one.shapes else "",
        "; ".join(filter(None, (one.verdict, one.reason, *one.warnings))),
        str(sum(one.differing.values())),
        ", ".join(f"{name} {1e6 * seconds:.1f}" for name, seconds in one.seconds.items()),
    )


def explained_facts(found: Explained) -> dict[str, Any]:
    """The facts by what they rest on."""
    made, counters = found.build, found.counters
    return {
        "kernel": found.kernel,
        "configuration": found.config,
        "arch": found.arch,
        "compiled": {
            "compiler": made.compiler,
            "cubin_hash": made.cubin_hash,
            "resources": made.resources,
            "dynamic_shared_bytes": made.dynamic_shared_bytes,
            "threads": made.threads,
        },
        "bound": {"blocks_by_limit": found.resident, "gate": found.verdict},
        "simulated": {
            "shape": found.shape,
            "loads": found.loads,
            "stores": found.stores,
            "useful_multiply_adds": found.useful,
            "counters": counters,
        },
    }


def show_explained(found: Explained) -> None:
    made, verdict, counters = found.build, found.verdict, found.counters
    resources = made.resources
    show.table(
        f"{found.kernel}/{found.config} on {found.arch}: what it needs",
        ("fact", "number", "evidence"),
        [
            ("registers of a thread", resources.registers, "measured-here"),
            ("spilled bytes of a thread", resources.spilled_bytes, "measured-here"),
            ("threads of a block", made.threads, "measured-here"),
            ("shared memory of a block, KiB", f"{made.shared_bytes / 1024:g}", "measured-here"),
            *((f"blocks of an SM by {n}", count, "bound") for n, count in found.resident.items()),
            (f"occupancy, held by {verdict.limiter}", f"{verdict.occupancy:.1%}", "bound"),
        ],
        "; ".join(("measured-here: the compiler's report", *verdict.refusals, *verdict.warnings)),
    )
    show.table(
        f"what it does to the shape '{found.shape}'",
        ("fact", "number", "evidence"),
        [(*row, "simulated") for row in _done(found)],
        "simulated: counted while executing on the CPU. least: each 32-byte sector that the launch "
        "touches, once. No caches are modelled.",
    )
    total = counters.instructions
    mix = sorted(counters.mix.items(), key=lambda item: -item[1])
    rows = [(kind, count, f"{count / total:.1%}") for kind, count in mix if count]
    show.table("instructions of warps (simulated)", ("class", "executed", "share"), rows)
    show.table(
        "source lines that touch memory (simulated)",
        ("line", "warp instructions", "global bytes", "sectors", "wavefronts", "bank conflicts"),
        [
            (one.place, one.warps, one.global_bytes, one.sectors, one.wavefronts, one.conflicts)
            for one in found.busiest()
        ],
    )


def _done(found: Explained) -> list[tuple[str, object]]:
    counters = found.counters
    rows: list[tuple[str, object]] = [
        ("instructions of warps", counters.instructions),
        ("lanes at work in them", f"{counters.thread_instructions / counters.instructions:.1f}"),
        *_traffic("loaded", found.loads),
        *_traffic("stored", found.stores),
        ("wavefronts of shared memory", counters.shared_wavefronts),
        ("of them bank conflicts", counters.shared_conflicts),
        *counters.multiplies.items(),
    ]
    if found.useful:
        rows.append(("of their work not padding", f"{found.useful:.1%}"))
    return rows


def _traffic(done: str, part: Traffic) -> list[tuple[str, object]]:
    over = f" ({part.moved / part.least:.2f} times the least)" if part.least else ""
    return [
        (f"bytes {done}: asked for", part.asked),
        (f"bytes {done}: in sectors", f"{part.moved}{over}"),
        (f"bytes {done}: least", part.least),
    ]
