"""Rows of words -> rows of results: the roofline of a million points in a few calls.

Rows that share every word but figures of the machine, load and lengths share a model, a machine's
build and a split, made once (`grouped`); the figures of their machines are columns (`varied`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...base import BadInput, number_format, unknown
from ...base.parquet import Columns
from ...hardware import System
from ...roofline.machines import COMPUTED, Machines
from ...roofline.points import RESOURCES, Points, points
from ...roofline.prices import LACKING, peaks
from ...roofline.setups import MULTIPLIED, Setup, regular
from .grouped import Groups, alike, grouped, plain, said, system_told
from .paths import is_path
from .results import OK, RESULTS, TOO_LARGE
from .routed import ROUTED, Routed, asks, routed
from .rows import LOAD
from .varied import TOTALS, figures, numbers_of, totals, varies
from .words import WORDS

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

DETAILS = ("bound", "tile", "cycle", "finer", "served", "served-cycle")
BLOCK = 32768
"""Rows evaluated at once; it bounds the memory, a kilobyte each."""

MOST_LOAD = 10**12
"""Requests or tokens; beyond it, sums of them would no longer be exact."""

_LOAD = ("batch", "context", "prompt")


def evaluate(
    columns: Columns, detail: str = "bound", seed: int = 0, here: Path = Path()
) -> Columns:
    """`RESULTS` of each row of words, in their order. A row that cannot be built says why in
    `status`, and its numbers are NaN. Columns that are no words are passed over. here: what the
    paths of files are relative to. Raises BadInput for an unknown detail."""
    if detail not in DETAILS:
        raise unknown("detail", detail, DETAILS, key="detail")
    rows = max((len(column) for column in columns.values()), default=0)
    words = {name: np.asarray(v) for name, v in columns.items() if name in WORDS or is_path(name)}
    made = [
        _block({name: column[first : first + BLOCK] for name, column in words.items()}, here)
        for first in range(0, max(rows, 1), BLOCK)
    ]
    bound = {name: np.concatenate([block[name] for block in made]) for name in RESULTS}
    if detail == "bound":
        return bound
    from .finer import finer

    return finer(columns, detail, seed, bound, here)


class Numbers(NamedTuple):
    """The machines of rows: their numbers, the row of each `[rows]`, and `TOTALS` by name."""

    machines: Machines | None
    row: Ints
    sums: dict[str, Floats]


def _block(words: Columns, here: Path) -> Columns:
    rows = max((column.size for column in words.values()), default=0)
    out: Columns = {
        name: np.full(rows, "", object) if result.kind == "text" else np.full(rows, np.nan)
        for name, result in RESULTS.items()
    }
    if not rows:
        return out
    apart = (*LOAD, *ROUTED)
    shared = {name: v for name, v in words.items() if not varies(name) and name not in apart}
    found = grouped(shared, rows, here)
    status = out["status"]
    status[:] = np.where(found.faults == "", OK, found.faults)
    load = {name: _load(name, words.get(name), status) for name in _LOAD}
    numbers = _numbers({k: v for k, v in words.items() if varies(k)}, found, status)
    slow = np.array([not regular(setup) for setup in found.setups], bool)
    built = np.flatnonzero(status == OK)
    alone = slow[found.of_row[built]] | asks(words, rows)[built]
    fast = built[~alone]
    if fast.size:
        _fill(out, fast, found.setups, found.of_row[fast], numbers, load)
    rest = built[alone]
    if rest.size:
        _one_by_one(out, rest, words, found, load, here)
    status[(status == OK) & (out["spare_bytes"] < 0)] = TOO_LARGE
    return out


def _load(name: str, column: NDArray[Any] | None, status: NDArray[Any]) -> Ints:
    """A word of the load as whole numbers. What is none is told in `status`."""
    if column is None:
        return np.full(status.size, WORDS[name].default, np.int64)
    least = 1 if name == "batch" else 0
    given = numbers_of(name, column)
    wrong = ~((given >= least) & (given <= MOST_LOAD) & (given == np.floor(given)))
    status[wrong & (status == OK)] = f"{name}: must be whole, from {least} to {MOST_LOAD:.0e}"
    return np.where(wrong, least, given).astype(np.int64)


def _numbers(varied: Columns, found: Groups, status: NDArray[Any]) -> Numbers:
    """The numbers of the machines of all rows, system by system. What cannot be is told in
    `status`."""
    rows = status.size
    row, sums = np.zeros(rows, np.int64), {name: np.full(rows, np.nan) for name in TOTALS}
    systems = {id(setup.system): setup.system for setup in found.setups}
    number = {key: i for i, key in enumerate(systems)}
    of_row = np.array([*(number[id(setup.system)] for setup in found.setups), -1])[found.of_row]
    parts: list[Machines] = []
    for i, system in enumerate(systems.values()):
        here = np.flatnonzero((of_row == i) & (status == OK))
        try:
            values, wrong = figures(system, {k: column[here] for k, column in varied.items()})
        except BadInput as fault:
            status[here] = said(fault)
            continue
        if varied:
            status[here] = np.where(wrong == "", OK, wrong)
        read = {path: v for path, v in values.items() if path.rpartition(".")[2] not in TOTALS}
        row[here] = sum(len(part) for part in parts) + (np.arange(here.size) if read else 0)
        parts.append(Machines.of(system, read))
        for name, value in totals(system, values).items():
            sums[name][here] = value
    machines = Machines.joined(parts) if parts else None
    if machines is not None:
        _demand_peaks(machines, row, found, status)
    return Numbers(machines, row, sums)


def _demand_peaks(machines: Machines, row: Ints, found: Groups, status: NDArray[Any]) -> None:
    """Tells in `status` where no unit of a machine multiplies a format of its model."""
    lacks = np.asarray((machines.peak <= LACKING).all(axis=1))
    if not lacks.any():
        return
    for number, setup in enumerate(found.setups):
        here = np.flatnonzero((found.of_row == number) & (status == OK))
        for part in MULTIPLIED:
            form = getattr(setup.model.formats, part)
            column = COMPUTED.index(number_format(form).compute)
            if here.size and lacks[row[here[0]], column]:
                device = setup.system.devices[0]
                status[here] = f"peak_flops_per_s: {device.name} has no peak for {form}"


def _fill(
    out: Columns,
    rows: Ints,
    setups: list[Setup],
    setup: Ints,
    numbers: Numbers,
    load: dict[str, Ints],
) -> None:
    """The results of these rows. setup: of each of them; the numbers and the load are of all."""
    used, setup = np.unique(setup, return_inverse=True)
    setups = [setups[number] for number in used.tolist()]
    machines, energy = numbers.machines, True
    if machines is not None:
        # Where neither unit of any machine has its constants, all joules are NaN.
        energy = bool(np.isfinite(machines.unit["j_per_flop"]).any())

    def timed(here: Ints, *, energy: bool = False, **asked: Ints) -> Points:
        given: dict[str, Any] = {**asked, "energy": energy, "machines": machines}
        given["machine"] = None if machines is None else numbers.row[rows[here]]
        return points(setups, setup[here], **given)

    every = np.arange(rows.size)
    batch, prompt = load["batch"][rows], load["prompt"][rows]
    got = timed(every, batch=batch, context=load["context"][rows], energy=energy)
    rate = batch / got.seconds
    devices = np.array([one.parallel.devices for one in setups], float)[setup]
    sums = {name: column[rows] for name, column in numbers.sums.items()}
    values: dict[str, Any] = {
        "detail": "bound",
        "tpot_s": got.seconds,
        "throughput_tokens_per_s": rate,
        "device_tokens_per_s": rate / devices,
        "energy_j_per_token": got.energy_j / batch,
        "cost_usd_per_token": sums["price_usd_per_hour"] / 3600 / rate,
        "devices": devices,
        "spare_bytes": got.spare_bytes,
        "limiter": np.array(RESOURCES, object)[np.argmax(got.by_resource, axis=1)],
        **sums,
    }
    for name, value in values.items():
        out[name][rows] = value
    asked = np.flatnonzero(prompt > 0)
    if asked.size:
        out["ttft_s"][rows[asked]] = timed(asked, prefill=prompt[asked]).seconds


def _one_by_one(
    out: Columns, rows: Ints, words: Columns, found: Groups, load: dict[str, Ints], here: Path
) -> None:
    """Rows of unlike devices, of recorded routing, or whose split crosses the tiers unevenly: a
    machine is built for each that differs."""
    told = {name: column[rows] for name, column in words.items() if name not in _LOAD}
    first, group = alike(told.values(), rows.size)
    setups: list[Setup] = []
    sums = {name: np.full(rows.size, np.nan) for name in TOTALS}
    built = np.zeros(first.size, bool)
    for number, row in enumerate(first.tolist()):
        base = found.setups[found.of_row[rows[row]]]
        experts = Routed()
        try:
            one = {name: plain(column[row]) for name, column in told.items()}
            system: System = system_told(one, here)
            experts = routed(one, base.model, base.parallel, here)
            for device in {id(device): device for device in system.devices}.values():
                for part in MULTIPLIED:
                    peaks(device, getattr(base.model.formats, part))
            built[number] = True
        except BadInput as fault:
            system = base.system
            out["status"][rows[group == number]] = said(fault)
        setups.append(msgspec.structs.replace(base, system=system, **experts._asdict()))
        for name, value in totals(system, {}).items():
            sums[name][group == number] = value
    kept = np.flatnonzero(built[group])
    everywhere = {name: np.full(out["status"].size, np.nan) for name in TOTALS}
    for name, column in sums.items():
        everywhere[name][rows] = column
    none = Numbers(None, np.zeros(0, np.int64), everywhere)
    _fill(out, rows[kept], setups, group[kept], none, load)
