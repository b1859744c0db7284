"""moesaic hardware: the catalogue of machines, and a check of a user's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from ..base import BadInput, unknown
from ..base.units import show as quantity
from . import show

if TYPE_CHECKING:
    from ..hardware import AnyDevice, DramConfig, Link, System

app = typer.Typer(
    no_args_is_help=True,
    help="Machines: devices, links, systems and DRAM.\n\n"
    "Example: moesaic hardware list --kind gpu\n\nExample: moesaic hardware show dgx-h100",
)

Kind = Annotated[
    str | None,
    typer.Option("--kind", help="gpu, pim, fpga, cpu, link, system or dram; all without it."),
]


@app.command("list")
def list_(kind: Kind = None, json: show.Json = False) -> None:
    """List the catalogue.

    Example: moesaic hardware list --kind system
    """
    from ..hardware.load import KINDS, names

    if kind is not None and kind not in KINDS:
        raise unknown("kind of hardware", kind, KINDS, key="--kind")
    kinds = KINDS if kind is None else (kind,)
    rows = {each: [_row(each, name) for name in names(each)] for each in kinds}
    if json:
        show.json([row for group in rows.values() for row in group])
        return
    for each, group in rows.items():
        columns = list(group[0])[1:]
        show.table(each, columns, [[row.get(column, "") for column in columns] for row in group])


@app.command("show")
def show_(
    name: Annotated[str, typer.Argument(help="A name of the catalogue, or a .toml file.")],
    json: show.Json = False,
) -> None:
    """Show a machine: every figure with its source.

    Example: moesaic hardware show h100-sxm
    """
    spec = _find(name)
    show.json(_tables(spec)) if json else _print(spec)


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="A TOML file that describes a device or system.")],
) -> None:
    """Check a file of your own: say what is wrong with it, or show what it describes.

    Example: moesaic hardware check my-box.toml
    """
    if file.suffix != ".toml":
        raise BadInput("must be a .toml file", file=file)
    spec = _find(str(file))
    show.say(f"{file}: is sound")
    _print(spec)


def _find(name: str) -> AnyDevice | Link | System | DramConfig:
    """A link or DRAM where the name or the file is one, else a device, else a system."""
    from ..base.spec import load_toml
    from ..hardware.load import device, dram_config, dram_names, link, names, system

    if name.endswith(".toml"):
        data = load_toml(name)
        if "kind" in data:
            return device(name)
        if "address_map" in data:
            return dram_config(name)
        return link(name) if "technology" in data else system(name)
    key = name.lower().replace("_", "-")
    if key in names("link"):
        return link(key)
    if key in [each.lower().replace("_", "-") for each in dram_names()]:
        return dram_config(key)
    return device(key) if key in names() else system(key)


def _print(spec: AnyDevice | Link | System | DramConfig) -> None:
    from ..hardware import DramConfig, Link, System
    from ..hardware.figures import figures

    title = spec.name
    if isinstance(spec, System):
        title = f"{spec.name}: {_counted(spec)}"
    elif isinstance(spec, DramConfig):
        title = f"{spec.name}: {', '.join(_dram(spec).values())}"
    elif not isinstance(spec, Link):
        title = f"{spec.name}: {spec.vendor}, {spec.memory.technology}"
    rows = [
        (figure.path, figure.text, figure.source)
        for figure in figures(spec)
        if "standard.rules" not in figure.path
    ]
    show.table(title, ("figure", "value", "source"), rows, note=getattr(spec, "notes", ""))


def _tables(spec: AnyDevice | Link | System | DramConfig) -> dict[str, Any]:
    """The spec as JSON; a system tells each kind of device once, with its count."""
    from ..hardware import System

    tables: dict[str, Any] = msgspec.to_builtins(spec)
    if isinstance(spec, System):
        each = {one.name: one for one in spec.devices}
        counts = [one.name for one in spec.devices]
        tables["devices"] = [
            {"count": counts.count(name), **msgspec.to_builtins(one)} for name, one in each.items()
        ]
    return tables


def _row(kind: str, name: str) -> dict[str, str]:
    from ..hardware.load import device, dram_config, link, system

    row = {"kind": kind, "name": name}
    if kind == "link":
        one = link(name)
        return row | {
            "technology": one.technology,
            "bandwidth": quantity(one.bandwidth_bytes_per_s, "B/s"),
            "latency": quantity(one.latency_s, "s"),
        }
    if kind == "dram":
        return row | _dram(dram_config(name))
    if kind == "system":
        whole = system(name)
        tiers = ", ".join(f"{tier.name} {tier.size} x {tier.link.name}" for tier in whole.tiers)
        return row | {"devices": _counted(whole), "tiers": tiers}
    if name == "local":
        return row | {"vendor": "this machine: probed when it is shown or used"}
    part = device(name)
    best = max(part.peak_flops_per_s, key=lambda key: part.peak_flops_per_s[key])
    wide = next(key for key in ("bf16", "int16", "fp32") if key in part.peak_flops_per_s)
    return row | {
        "vendor": part.vendor,
        "memory": f"{quantity(part.memory.capacity_bytes, 'B')} {part.memory.technology}",
        "bandwidth": quantity(part.memory.bandwidth_bytes_per_s, "B/s"),
        "peak": f"{quantity(part.peak_flops_per_s[wide], 'FLOP/s')} {wide}",
        "best peak": f"{quantity(part.peak_flops_per_s[best], 'FLOP/s')} {best}",
    }


def _dram(config: DramConfig) -> dict[str, str]:
    each = f"{config.copies} x " if config.copies > 1 else ""
    return {
        "standard": config.timing.standard.name,
        "timing": config.timing.name,
        "memory": f"{each}{quantity(config.capacity_bytes, 'B')}",
        "bandwidth": f"{each}{quantity(config.peak_bandwidth_bytes_per_s, 'B/s')}",
    }


def _counted(system: System) -> str:
    names = [one.name for one in system.devices]
    return ", ".join(f"{names.count(name)} x {name}" for name in dict.fromkeys(names))
