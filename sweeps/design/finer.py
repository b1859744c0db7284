"""Rows of words evaluated more closely than at the bound: by tiles, cycle by cycle, or served.

Every row is priced by itself: rows only share specs and the arrays that they are computed in, so no
result depends on which rows stand beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...base import BadInput, unknown
from ...base.parquet import Columns
from ...hardware import Gpu, Pim, System
from ...roofline.operators import operators
from ...simulator.step.cycle import cycle
from ...simulator.step.policies import policy_of
from ...simulator.step.rates import Rates, memory_rates
from ...simulator.step.tiled_many import Question, tile_many
from ...workload import Step
from .grouped import said
from .results import RESULTS
from .rows import Answer, Row, Setup, rows_of
from .serving import served

Answers = Iterator[tuple[Row, Answer | BadInput]]


def finer(columns: Columns, detail: str, seed: int, bound: Columns, here: Path = Path()) -> Columns:
    """The results of rows of words at a detail of `DETAILS`; bound: their results at the bound.
    here: what the paths of files are relative to.

    Rows that the bound has no numbers for keep its sentence in `status`; rows that this detail
    cannot price get one. Energy, price, area, power and bytes are those of the bound where the
    detail says nothing of them. Equal for equal rows and seeds, whatever stands beside them.
    """
    if detail not in DETAILS:
        raise unknown("detail", detail, DETAILS, key="detail")
    out = {name: np.array(bound[name]) for name in RESULTS}
    built: list[Row] = []
    for row in rows_of(columns, bound, here):
        if isinstance(row, Row):
            built.append(row)
        else:
            _refuse(out, row.number, row.fault)
    for row, answer in DETAILS[detail](built, seed):
        if isinstance(answer, BadInput):
            _refuse(out, row.number, answer)
        else:
            _enter(out, row, answer)
    return out


def _refuse(out: Columns, number: int, fault: BadInput) -> None:
    for name, result in RESULTS.items():
        out[name][number] = "" if result.kind == "text" else np.nan
    out["status"][number] = said(fault)


def _enter(out: Columns, row: Row, answer: Answer) -> None:
    rate = answer.throughput_tokens_per_s
    if rate is None:
        rate = row.word("batch") / answer.tpot_s
    found: dict[str, Any] = {
        "detail": answer.detail,
        "tpot_s": answer.tpot_s,
        "ttft_s": answer.ttft_s,
        "throughput_tokens_per_s": rate,
        "device_tokens_per_s": rate / out["devices"][row.number],
        "cost_usd_per_token": out["price_usd_per_hour"][row.number] / 3600 / rate,
        "energy_j_per_token": answer.energy_j_per_token,
        "limiter": answer.limiter,
    }
    for name, value in found.items():
        if value is not None:
            out[name][row.number] = value


def _by_tiles(rows: Sequence[Row], seed: int) -> Answers:
    """Steps of all rows side by side; a prompt is one more step."""
    by_kernels: dict[str, list[Row]] = {}
    for row in rows:
        by_kernels.setdefault(row.word("kernels"), []).append(row)
    for kernels, some in by_kernels.items():
        found = tile_many((_question(row, step) for row in some for step in _steps(row)), kernels)
        limiters = found.limiter()
        place = 0
        for row in some:
            count = 2 if row.word("prompt") else 1
            own = range(place, place + count)
            fault = next((found.faults[i] for i in own if i in found.faults), None)
            first_s = float(found.seconds[place + 1]) if count == 2 else None
            answer = Answer("tile", float(found.seconds[place]), first_s, limiter=limiters[place])
            yield row, fault or answer
            place += count


def _steps(row: Row) -> Iterator[Step]:
    """A decoding step, then a prompt alone if the row asks for one."""
    yield row.setup.step(batch=row.word("batch"), context=row.word("context"))
    if row.word("prompt"):
        yield row.setup.step(prefill=row.word("prompt"))


def _question(row: Row, step: Step) -> Question:
    model, system, parallel, experts = row.setup
    return Question(model, step, system, parallel, experts.expert_map)


def _by_cycles(rows: Sequence[Row], seed: int) -> Answers:
    """One row after another; what the memory core leaves of the bandwidths is shared. Rows of
    machines without a closer look stay at the bound."""
    known: dict[tuple[int, bool], tuple[Setup, Rates]] = {}
    for row in rows:
        if closest(row.setup.system) == "bound":
            continue
        try:
            yield row, _cycled(row, known, seed)
        except BadInput as fault:
            yield row, fault


def _cycled(row: Row, known: dict[tuple[int, bool], tuple[Setup, Rates]], seed: int) -> Answer:
    model, system, parallel, experts = row.setup
    units = row.word("units")
    alone = policy_of(units).share is None
    key = id(row.setup), alone
    if key not in known:  # the setup is kept beside its rates, so that its id stays its own
        known[key] = row.setup, memory_rates(system, model, alone=alone)
    step, *prompt = (
        cycle(
            operators(model, step, system, parallel, experts.expert_map),
            system,
            known[key][1],
            units=units,
            seed=seed,
        )
        for step in _steps(row)
    )
    joules = step.energy_j
    return Answer(
        "cycle",
        step.seconds,
        ttft_s=prompt[0].seconds if prompt else None,
        energy_j_per_token=None if joules is None else joules / row.word("batch"),
        limiter=step.limiter,
    )


def closest(system: System) -> str:
    """The closest look that there is at such a machine: 'cycle' where devices hold a PIM and its
    host, 'tile' for GPUs, else 'bound'."""
    devices = {id(device): device for device in system.devices}.values()
    if any(isinstance(device, Pim) and device.host is not None for device in devices):
        return "cycle"
    return "tile" if all(isinstance(device, Gpu) for device in devices) else "bound"


def _closest(rows: Sequence[Row], seed: int) -> Answers:
    """Each row by the closest look at its machine; rows that stay at the bound are left as are."""
    by_detail: dict[str, list[Row]] = {}
    for row in rows:
        by_detail.setdefault(closest(row.setup.system), []).append(row)
    for detail in ("tile", "cycle"):
        yield from DETAILS[detail](by_detail.get(detail, []), seed)


def _served(rows: Sequence[Row], seed: int) -> Answers:
    """Stages by the closest look at each machine."""
    for row in rows:
        yield row, _serving(row, closest(row.setup.system), seed)


def _served_by_cycles(rows: Sequence[Row], seed: int) -> Answers:
    """Stages cycle by cycle on all machines but those that stay at the bound."""
    for row in rows:
        still = closest(row.setup.system) == "bound"
        yield row, _serving(row, "bound" if still else "cycle", seed)


def _serving(row: Row, detail: str, seed: int) -> Answer | BadInput:
    try:
        return served(row, detail, seed)
    except BadInput as fault:
        return fault


DETAILS: dict[str, Callable[[Sequence[Row], int], Answers]] = {
    "tile": _by_tiles,
    "cycle": _by_cycles,
    "finer": _closest,
    "served": _served,
    "served-cycle": _served_by_cycles,
}
"""Details closer than the bound: rows and a seed to answers by row, in any order."""
