"""moesaic kernel: the CUDA kernels, what the compiler makes of them, and blocks in time."""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Any, Literal, TypeVar

import typer

from ..base import BadInput
from . import show
from .blocks import blocks
from .mutants import mutants

app = typer.Typer(
    no_args_is_help=True,
    help="CUDA kernels compiled and executed without a GPU, and thread blocks in time.",
)

Kernels = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KERNEL[/CONFIG]]...",
        help="Kernels or configurations that `list` shows, * for any letters. All without it.",
    ),
]
Archs = Annotated[
    str, typer.Option("--arch", help="One or more with commas. Default: one of each generation.")
]
Changes = Annotated[
    list[str] | None, typer.Option("--set", help="NAME=VALUE on top of the one configuration.")
]
Seed = Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Of the numbers and the orders.")]
Item = TypeVar("Item")


@app.command("list")
def list_kernels(as_json: show.Json = False) -> None:
    """Lists the kernels, their registered configurations and the rules that bind them.

    Example: moesaic kernel list
    """
    from ..kernels import KERNELS
    from .kernel_shown import facts, show_kernel

    if as_json:
        show.json([facts(kernel) for kernel in KERNELS.values()])
        return
    for kernel in KERNELS.values():
        show_kernel(kernel)


@app.command()
def build(
    kernels: Kernels = None, arch: Archs = "", changes: Changes = None, as_json: show.Json = False
) -> None:
    """Compiles to cubin and says what it needs, and whether and how full it can run.

    Example: moesaic kernel build --arch sm_80,sm_90a,sm_100a
    Example: moesaic kernel build grouped-gemm/down-64x128 --arch sm_90a --set STAGES=4
    """
    from ..kernels.compiled import build_all
    from .kernel_shown import build_facts, show_builds

    wanted = _targets(kernels, arch, changes)
    with _remarks():
        made = list(zip(wanted, _watched(build_all(wanted), len(wanted), "built"), strict=True))
    if as_json:
        show.json([build_facts(target, one) for target, one in made])
    else:
        show_builds(made)
    if any(isinstance(one, BadInput) for _, one in made):
        raise typer.Exit(1)


@app.command()
def check(
    kernels: Kernels = None,
    arch: Archs = "",
    everything: Annotated[
        bool, typer.Option("--all", help="Every configuration on every shape, not a sample.")
    ] = False,
    on: Annotated[
        Literal["cpu", "gpu"], typer.Option(help="Execute the PTX here, or the cubin on a GPU.")
    ] = "cpu",
    seed: Seed = 0,
    as_json: show.Json = False,
    out: show.Out = None,
) -> None:
    """Builds, gates and runs configurations, and holds their numbers against float64.

    A sample meets every parameter value with every shape, and every architecture: what is named
    with its configuration is checked on all shapes. On a GPU each launch is timed too.

    Example: moesaic kernel check
    Example: moesaic kernel check grouped-gemm --arch sm_90a --all
    """
    from ..kernels.compiled import covering
    from .kernel_shown import check_facts, show_checks

    if on == "gpu":
        arch = _gpu_arch(arch)
    wanted = _targets(kernels, arch)
    if not everything and not any("/" in word for word in kernels or ()):
        wanted = covering(wanted)
    done: list[Any] = []
    stopped = None
    try:
        with _remarks():
            for one in _watched(_checks(wanted, on, seed), len(wanted), "checked"):
                done.append(one)
    except KeyboardInterrupt as stop:  # what was found until then is shown
        stopped = stop
    data = check_facts(done, on, len(wanted))
    if out:
        show.save_json(out, data)
    if as_json:
        show.json(data)
    else:
        show_checks(done)
    if stopped:
        raise stopped
    if not data["all_right"]:
        raise typer.Exit(1)


@app.command()
def explain(
    config: Annotated[str, typer.Argument(metavar="KERNEL/CONFIG", help="As `list` shows it.")],
    arch: Annotated[str, typer.Option("--arch", help="Such as sm_90a.")] = "sm_90a",
    shape: Annotated[str, typer.Option(help="One of the kernel's shapes; the first without.")] = "",
    changes: Changes = None,
    as_json: show.Json = False,
) -> None:
    """What a configuration needs, what fills an SM, and what it does to a small problem.

    Example: moesaic kernel explain grouped-gemm/gate-up-64x64 --arch sm_90a
    """
    from ..kernels import explain as explained
    from .kernel_shown import explained_facts, show_explained

    wanted = _targets([config], arch, changes)
    if len(wanted) != 1:
        raise BadInput("one configuration, as KERNEL/CONFIG, for one architecture", value=config)
    with _remarks():
        found = explained(wanted[0].on_shape(shape) if shape else wanted[0])
    if as_json:
        show.json(explained_facts(found))
    else:
        show_explained(found)


app.command()(mutants)
app.command()(blocks)


def _targets(words: Sequence[str] | None, archs: str, changes: list[str] | None = None) -> Any:
    from ..kernels.compiled import TARGETS, target, targets

    found = targets(words or (), [a.strip() for a in archs.split(",")] if archs else TARGETS)
    if not changes:
        return found
    values = dict(_assignment(change) for change in changes)
    if len({one.name for one in found}) != 1:
        raise BadInput("changes one configuration: name it as KERNEL/CONFIG", key="--set")
    return [target(one.kernel, {**one.config, **values}, one.arch) for one in found]


def _assignment(change: str) -> tuple[str, int]:
    name, _, value = change.partition("=")
    if not value.isdecimal() or len(value) > 6:
        raise BadInput("needs NAME=VALUE with a whole number", key="--set", value=change)
    return name.strip(), int(value)


def _checks(wanted: Any, on: str, seed: int) -> Iterator[Any]:
    if on == "gpu":
        from ..kernels.runners import measure

        return measure(wanted, seed)
    from ..kernels.compiled import check_all

    return check_all(wanted, seed)


def _gpu_arch(asked: str) -> str:
    from ..kernels.runners import local_gpu

    gpu = local_gpu()
    if asked not in ("", gpu.arch):
        raise BadInput(f"this machine's {gpu.name} runs {gpu.arch}", key="--arch", value=asked)
    return gpu.arch


def _watched(results: Iterable[Item], total: int, done: str) -> Iterator[Item]:
    """The results, how many there are being said on the error stream every few seconds."""
    said = time.monotonic()
    for count, one in enumerate(results, 1):
        yield one
        if time.monotonic() - said > 5 and count < total:
            show.say(f"{count} of {total} {done}")
            said = time.monotonic()


@contextlib.contextmanager
def _remarks() -> Iterator[None]:
    """What the kernels warn of, once and in one line on the error stream."""
    from ..kernels.compiled import NotKept

    with warnings.catch_warnings():
        warnings.simplefilter("once", NotKept)
        warnings.showwarning = lambda message, *_: show.say(f"moesaic: {message}")
        yield
