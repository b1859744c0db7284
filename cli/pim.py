"""moesaic pim: processing in memory, command by command: what gangs give, what hosts lose."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..base import BadInput
from . import question as q
from . import show
from .pim_crossover import crossover

if TYPE_CHECKING:
    from ..hardware import DramConfig, Gang, Pim

app = typer.Typer(
    no_args_is_help=True,
    help="Processing in memory: bandwidth of gangs of banks, crossover with the GPU.\n\n"
    "Example: moesaic pim bandwidth --on duplex",
)

RATES = ("gang", "spaces in turn", "opened by", "closed form", "simulated", "difference")
MEETINGS = (
    "host reads", "gang commands on", "pseudo channels", "host alone", "beside", "lost",
    "PIM alone", "beside", "lost", "commands checked", "violations",
)  # fmt: skip


app.command()(crossover)


Rows = list[dict[str, Any]]
PACES = ("tokens", "spaces in turn", "cycles a read", "reads wait", "rows read ahead")
AHEAD = "Shares of the internal bandwidth: simulated, and the longer of bytes and arithmetic."


@app.command()
def bandwidth(
    on: Annotated[str, typer.Option(help="A device with PIM: `moesaic hardware list`, or .toml.")],
    memory: Annotated[
        str | None, typer.Option(help="Another memory than the device's own: `moesaic dram list`.")
    ] = None,
    record: Annotated[
        Path | None,
        typer.Option(help="Write every command of the last run, host and PIM, to this Parquet."),
    ] = None,
    tokens: Annotated[
        str, typer.Option(help="Inputs that each weight meets, by commas: reads that wait for it.")
    ] = "",
    json: show.Json = False,
    out: show.Out = None,
) -> None:
    """What the gangs of a PIM give, beside the closed form; what host and PIM lose to each other.

    Every run of both at once is put to the checker.

    Example: moesaic pim bandwidth --on duplex

    Example: moesaic pim bandwidth --on duplex --tokens 1,8,16,32 --json
    """
    from ..hardware.load import dram_config
    from ..simulator.pim.rates import memory_of, one_channel
    from .dram_shown import save_commands

    if record is not None and record == out:
        raise BadInput("names the same file as --out; give each its own", key="--record", value=out)
    device = _pim(on)
    config, gang = memory_of(device)
    config = one_channel(config if memory is None else dram_config(memory))
    rates = _rates(config, gang)
    meetings, last = _meetings(config, gang, device.internal_energy_j_per_byte)
    pace = _paces(device, tokens, memory)
    facts = {"device": device.name, "memory": config.name, "rates": rates, "meetings": meetings}
    facts |= {"paced": pace} if pace else {}
    if record is not None:
        save_commands(record, last.run)
    if out is not None:
        show.save_json(out, facts)
    if json:
        show.json(facts)
    else:
        _tables(f"{device.name} on {config.name}, alone", rates, pace, meetings)


def _tables(title: str, rates: Rows, pace: Rows, meetings: Rows) -> None:
    show.table(title, RATES, [_rate_cells(row) for row in rates],
               note="Shares of the gangs' peak, refresh and activation counted.")  # fmt: skip
    if pace:
        show.table("With arithmetic", PACES, [_pace_cells(row) for row in pace], note=AHEAD)
    show.table("Host and PIM at once", MEETINGS, [_meeting_cells(row) for row in meetings],
               note="Shares of each one's own peak in a pseudo channel. The PIM reads two gangs in "
               "turn (one, where no other is left), the host whole rows.")  # fmt: skip


def _pim(name: str) -> Pim:
    from ..hardware import Pim
    from ..hardware.load import device

    found = device(name)
    if not isinstance(found, Pim):
        raise BadInput(f"{found.name} has no units in its memory", key="--on", value=name)
    return found


def _paces(device: Pim, tokens: str, memory: str | None) -> Rows:
    import msgspec

    from ..simulator.pim import paced

    if not tokens:
        return []
    if memory is not None:
        raise BadInput(
            "goes without --memory: the units' peak is that on their own", key="--tokens"
        )
    return [
        {"spaces": spaces} | msgspec.to_builtins(paced(device, count, spaces))
        for count in q.numbers(tokens, "--tokens")
        for spaces in (1, 2)
    ]


def _pace_cells(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        str(row["tokens"]), str(row["spaces"]), str(row["read_cycles"]),
        f"{row['waiting']:.1%}", f"{row['ahead']:.1%}",
    )  # fmt: skip


def _rates(config: DramConfig, gang: Gang) -> Rows:
    import msgspec

    from ..simulator.pim.rates import gangs_of, rate_of

    spaces = sorted({1, min(2, gangs_of(config, gang))})
    rows = []
    for broadcast in (True, False):
        changed = msgspec.structs.replace(gang, broadcast=broadcast)
        for count in spaces:
            rate = rate_of(config, changed, count)
            rows.append(
                {"gang": "x".join(map(str, gang.sizes)), "spaces": count, "broadcast": broadcast}
                | msgspec.to_builtins(rate)
            )
    return rows


def _rate_cells(row: dict[str, Any]) -> tuple[str, ...]:
    closed, simulated = row["closed_share"], row["share_of_peak"]
    opened = "one ACTG" if row["broadcast"] else "ACT by ACT"
    return (
        row["gang"], str(row["spaces"]), opened, f"{closed:.2%}", f"{simulated:.2%}",
        f"{simulated / closed - 1:+.2%}",
    )  # fmt: skip


def _meetings(config: DramConfig, gang: Gang, energy_j_per_byte: float | None) -> tuple[Rows, Any]:
    """Every case, and the last as it was run."""
    import msgspec

    from ..simulator.memory.check import check_commands
    from ..simulator.pim.meeting import WHERE, meet
    from ..simulator.pim.rates import gangs_of

    rows, met = [], None
    for where in WHERE if gangs_of(config, gang) > 1 else WHERE[1:]:
        for own in (True, False):
            for ranks in sorted({1, config.rank_count}):
                changed = msgspec.structs.replace(gang, own_bus=own)
                met = meet(config, changed, where, pseudo_channels=ranks,
                           energy_j_per_byte=energy_j_per_byte)  # fmt: skip
                done = met.run.commands
                assert done is not None
                report = check_commands(config, done.tick, done.channel, done.command, done.bank,
                                        done.row, gang=changed)  # fmt: skip
                row = {name: getattr(met, name) for name in met.__struct_fields__ if name != "run"}
                violations = sum(rule.violations for rule in report.rules)
                rows.append(row | {"commands": report.commands, "violations": violations,
                                   "energy_j": met.run.energy_j})  # fmt: skip
    return rows, met


def _meeting_cells(row: dict[str, Any]) -> tuple[str, ...]:
    def sides(name: str) -> tuple[str, str, str]:
        alone, beside = row[f"{name}_alone"], row[name]
        return f"{alone:.2%}", f"{beside:.2%}", f"{1 - beside / alone:.2%}"

    bus = "its own bus" if row["own_bus"] else "the host's bus"
    where = f"{row['where']} gangs"
    counts = (str(row["commands"]), str(row["violations"]))
    return (where, bus, str(row["pseudo_channels"]), *sides("host"), *sides("pim"), *counts)
