"""moesaic dram: memories cycle by cycle: what they are, what traces take, whether rules held."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..base import BadInput, unknown
from ..base.units import show as human
from . import show

if TYPE_CHECKING:
    from ..hardware import DramConfig
    from ..simulator.memory.controller import Controller

app = typer.Typer(
    no_args_is_help=True,
    help="DRAM cycle by cycle: list, run, check, map.\n\n"
    "Example: moesaic dram run --config hbm3_6400_4Gb_1ch2pc --trace FILE --policy ramulator",
)

Config = Annotated[
    str, typer.Option("--config", help="A memory: `moesaic dram list`, or a .toml file.")
]


@app.command("list")
def list_(json: show.Json = False) -> None:
    """List memories, timing sets and standards, with their sources.

    Example: moesaic dram list
    """
    from .dram_shown import NOTES, catalogue, cells

    data = catalogue()
    if json:
        show.json(data)
        return
    for title, rows in data.items():
        show.table(title.replace("_", " "), *cells(rows), note=NOTES.get(title, ""))


@app.command("map")
def map_(
    config: Config,
    text: Annotated[
        str, typer.Argument(metavar="[MAP]", help="Such as 'off:5 ch:4 bg:2 co:5 ba:2^ro ro:15'.")
    ] = "",
    address: Annotated[str, typer.Option(help="Addresses to decode, by commas: 0x1f40.")] = "",
    json: show.Json = False,
) -> None:
    """Which bits of an address are channel, bank, row and column; where addresses lie.

    Without MAP: the map of the memory.

    Example: moesaic dram map --config hbm2_2000_4Gb_16pc --address 0x1f40,0x2000
    """
    from ..simulator.memory.address_map import AddressMap
    from .dram_shown import placed

    memory = _config(config)
    address_map = AddressMap.parse(text or memory.address_map, memory)
    rows = [placed(address_map, _address(word)) for word in address.split(",") if word.strip()]
    bits = [
        {"bits": _span(p.at, p.bits), "field": p.field, "field_bits": _span(p.low, p.bits),
         "xor": " ^ ".join(f"{field} {_span(p.low + at, p.bits)}" for field, at in p.hashes)}
        for p in address_map.pieces
    ]  # fmt: skip
    if json:
        show.json({"map": address_map.text, "capacity_bytes": address_map.capacity_bytes,
                   "pieces": bits, "addresses": rows})  # fmt: skip
        return
    title = f"{memory.name}: {address_map.text}, {human(address_map.capacity_bytes, 'B')}"
    show.table(title, list(bits[0]), [list(row.values()) for row in bits])
    if rows:
        show.table("", list(rows[0]), [list(row.values()) for row in rows])


@app.command()
def run(
    config: Config,
    trace: Annotated[
        Path, typer.Option(help="Requests: lines `cycle R|W hexaddress`, .gz of them, .parquet.")
    ],
    policy: Annotated[
        str, typer.Option(help="moesaic, ramulator, fr-fcfs, fcfs, or a .toml of a controller.")
    ] = "moesaic",
    address_map: Annotated[str | None, typer.Option("--map", help="An address map.")] = None,
    queue: Annotated[int | None, typer.Option(help="Entries of each queue.")] = None,
    refresh: Annotated[str | None, typer.Option(help="all-bank, per-bank or off.")] = None,
    row_policy: Annotated[str | None, typer.Option(help="open, closed or timeout.")] = None,
    timeout: Annotated[int | None, typer.Option(help="Cycles, for --row-policy timeout.")] = None,
    scheduler: Annotated[str | None, typer.Option(help="fr-fcfs, first-ready or fcfs.")] = None,
    front: Annotated[str | None, typer.Option(help="in-order or per-channel.")] = None,
    record: Annotated[
        Path | None, typer.Option(help="Write every command to this Parquet, for `dram check`.")
    ] = None,
    json: show.Json = False,
    out: show.Out = None,
) -> None:
    """What a memory takes for a trace: cycles, bandwidth, row hits, latencies, energy.

    Example: moesaic dram run --config hbm2_2000_4Gb_1pc --trace FILE --queue 64 --map 'off:5 co:5
    bg:2 ba:2 ro:15'

    Example: moesaic dram run --config hbm3_6400_4Gb_1ch2pc --trace FILE --policy ramulator --json
    """
    from ..simulator.memory import read_requests, simulate
    from .dram_shown import facts_of, print_facts, save_commands

    changes = {
        "address_map": address_map, "read_queue": queue, "write_queue": queue, "refresh": refresh,
        "row_policy": row_policy, "timeout_cycles": timeout, "scheduler": scheduler, "front": front,
    }  # fmt: skip
    if record is not None and record == out:
        raise BadInput("names the same file as --out; give each its own", key="--record", value=out)
    memory, chosen = _config(config), _changed(policy, changes)
    done = simulate(memory, chosen, read_requests(trace), record=record is not None)
    facts = {"config": memory.name, "trace": str(trace), "policy": policy, **facts_of(done)}
    if record is not None:
        save_commands(record, done)
    if out is not None:
        show.save_json(out, facts)
    if json:
        show.json(facts)
        return
    print_facts(facts)


@app.command()
def check(
    config: Config,
    commands: Annotated[Path, typer.Argument(help="A Parquet of `dram run --record`.")],
    refresh: Annotated[
        str | None, typer.Option(help="all-bank, per-bank or off; the file's own by default.")
    ] = None,
    json: show.Json = False,
) -> None:
    """Holds recorded commands to the rules of the standard; exit code 1 where one was broken.

    The checker shares no rule and no code with the memory core.

    Example: moesaic dram check --config hbm2_2000_4Gb_1pc commands.parquet
    """
    from ..simulator.memory.check import check_commands
    from .dram_shown import load_commands, print_report

    memory = _config(config)
    columns, recorded = load_commands(commands, memory)
    report = check_commands(memory, *columns, refresh=_one_of("refresh", refresh or recorded))
    if json:
        show.json({"ok": report.ok, **{f: getattr(report, f) for f in report.__struct_fields__}})
    else:
        print_report(report)
    raise typer.Exit(0 if report.ok else 1)


@app.command()
def efficiency(
    config: Config,
    model: Annotated[str, typer.Option(help="Models whose experts are read, by commas.")],
    maps: Annotated[
        str, typer.Option(help="Names of maps by commas; all that the memory has by default.")
    ] = "",
    queue: Annotated[str, typer.Option(help="Entries of the queues, by commas.")] = "16,32,64",
    layout: Annotated[
        str, typer.Option(help="contiguous, split, rows, interleaved, sliced; all by default.")
    ] = "",
    readers: Annotated[str, typer.Option(help="Readers at once, by commas.")] = "16",
    tile: Annotated[str, typer.Option(help="Bytes that a reader takes in turn.")] = "2048",
    policy: Annotated[str, typer.Option(help="As of `dram run`.")] = "moesaic",
    plot: Annotated[Path | None, typer.Option(help="Draw it: .png or .svg.")] = None,
    json: show.Json = False,
    out: show.Out = None,
) -> None:
    """The share of its peak that a memory gives to expert streams, over address maps, queues,
    layouts and sizes; the best map named. Rows are kept: asked again, they cost nothing.

    With --out FILE.parquet a table, else JSON.

    Example: moesaic dram efficiency --config h100-sxm-dram --model mixtral-8x7b --layout split
    """
    from ..base.spec import build
    from ..simulator.memory import Cells, Expert, efficiency_table, write_table
    from ..simulator.memory import policy as policy_of
    from ..workload.load import model as load_model
    from .dram_shown import print_efficiency
    from .question import numbers

    memory, models = _config(config), [load_model(name) for name in _words(model)]
    if not models:
        raise BadInput("must name a model", key="--model")
    asked = {"queues": numbers(queue, "--queue"), "readers": numbers(readers, "--readers"),
             "tile_bytes": numbers(tile, "--tile")}  # fmt: skip
    cells = build(Cells, asked | ({"layouts": _words(layout)} if layout else {}))
    experts = {one.name: (Expert.of(one), one.experts.count) for one in models}
    rows = efficiency_table(memory, policy_of(policy), experts, cells, _maps(memory, maps))
    if plot is not None:
        from ..sweeps.plots.memory import efficiency_maps
        from ..sweeps.plots.style import save

        save(efficiency_maps(rows), plot)
        show.say(f"wrote {plot}")
    if out is not None and out.suffix == ".parquet":
        write_table(out, rows)
        show.say(f"wrote {out}: {len(rows)} rows")
    elif out is not None:
        show.save_json(out, rows)
    if json:
        show.json(rows)
    else:
        print_efficiency(memory, rows)


def _maps(config: DramConfig, names: str) -> dict[str, str] | None:
    """The maps of those names; None for all of them."""
    from ..simulator.memory import maps_of

    if not names:
        return None
    known = {"own": config.address_map, **maps_of(config)}
    for name in _words(names):
        if name not in known:
            raise unknown("address map", name, known, key="--maps")
    return {name: known[name] for name in _words(names)}


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _config(name: str) -> DramConfig:
    from ..hardware.load import dram_config

    return dram_config(Path(name) if name.endswith(".toml") else name)


def _changed(policy: str, changes: dict[str, Any]) -> Controller:
    """The policy with what the options change; a row policy other than timeout drops its cycles."""
    import msgspec

    from ..base.spec import build
    from ..simulator.memory import policy as policy_of
    from ..simulator.memory.controller import Controller

    given = {key: _one_of(key, value) for key, value in changes.items() if value is not None}
    if given.get("row_policy", "timeout") != "timeout":
        given.setdefault("timeout_cycles", 0)
    return build(Controller, msgspec.to_builtins(policy_of(policy)) | given)


def _one_of(key: str, value: Any) -> Any:
    """The value of an option that takes words, checked against those of the controller."""
    from ..simulator.memory.controller import CHOICES

    if key in CHOICES and value not in CHOICES[key]:
        words = key.replace("_", " ")
        raise unknown(words, value, CHOICES[key], key=f"--{words.replace(' ', '-')}")
    return value


def _address(word: str) -> int:
    try:
        return int(word, 0)
    except ValueError:
        raise BadInput(
            "needs numbers by commas, such as 0x1f40", key="--address", value=word
        ) from None


def _span(first: int, count: int) -> str:
    return f"{first}-{first + count - 1}" if count > 1 else str(first)
