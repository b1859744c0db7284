"""The serving study of Duplex (arXiv 2409.01141): models, lengths, batches and machines."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

from ...hardware import Pim, System, Tier
from ...hardware.load import system
from ...roofline import Efficiency
from ...simulator.pim import host_rate, pim_rate
from ...simulator.serving import Metrics, metrics, serve
from ...simulator.serving.cycle_costs import CycleCosts
from ...simulator.serving.stages import Stages
from ...simulator.step.rates import CACHE_SPACES, Rates
from ...workload import Parallel
from ...workload.load import model as model_named
from ...workload.requests import drawn

BATCHES = (32, 64, 128)
SPREAD = 0.1
"""Of the Gaussian lengths, over their mean: the paper does not say; chosen."""
WAVES = 3
"""Requests that each place of a batch serves in a run."""


class Case(NamedTuple):
    """A model on the devices that the paper gives it: catalogue names without the kind of device.

    ep: the split of GPU, Bank-PIM and Duplex, experts spread over devices; et: the one of +ET,
    experts split inside a node.
    """

    model: str
    devices: str
    lengths: tuple[int, ...]
    ep: Parallel
    et: Parallel


CASES = {
    "Mixtral": Case(
        "mixtral-8x7b", "4", (256, 1024, 4096), Parallel(tp=4, ep=4), Parallel(tp=4, ep=1)
    ),
    "GLaM": Case("glam-8b-64e", "8", (512, 1024, 2048), Parallel(tp=8, ep=8), Parallel(tp=8, ep=1)),
    "Grok1": Case(
        "grok-1", "2x8", (256, 1024, 4096), Parallel(tp=8, dp=2, ep=8), Parallel(tp=8, dp=2, ep=2)
    ),
}
"""The paper's table of systems. Tensor parallelism of attention inside a node and replicas of it
on several are assumed; of Grok1's lengths the paper names none."""


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """A reading of what the paper leaves open about Duplex.

    spaces: bundles that the rows of weights come from in turn; own_bus: the PIM's commands do not
    take the host's slots; units: how experts are shared. peak: no losses of the memories at all.
    """

    name: str
    words: str
    spaces: int = 1
    own_bus: bool = False
    units: str = "spaces"
    peak: bool = False


TEXT = Setup(
    name="text",
    words="as its text has it: an expert lies in one of four spaces and is read by itself, whole "
    "spaces go to one unit, both units' commands share the channel's buses",
)
SETUPS = (
    TEXT,
    Setup(name="turns", words="rows of two spaces are read in turn", spaces=2),
    Setup(name="own bus", words="the PIM's commands have buses of their own", own_bus=True),
    Setup(name="experts", words="single experts move, by the rule of its text", units="rule"),
)
ROOFLINE = Setup(
    name="roofline",
    words="peak bandwidths, nothing shared but work, single experts move",
    own_bus=True,
    units="rule",
    peak=True,
)


class Machine(NamedTuple):
    """kind: of the devices in the catalogue; units: who works ('' as the set-up says); split: 'ep'
    or 'et'; times: of the devices that the case has."""

    kind: str
    units: str
    split: str = "ep"
    times: int = 1


MACHINES = {
    "GPU": Machine("duplex", "xpu"),
    "2xGPU": Machine("duplex", "xpu", times=2),
    "Bank-PIM": Machine("bank-pim", "one-unit"),
    "Duplex": Machine("duplex", "one-unit"),
    "+PE": Machine("duplex", ""),
    "+PE+ET": Machine("duplex", "", "et"),
}
"""A GPU is the processor of a Duplex device on the same memory, so that only the units differ."""
PIMS = ("Bank-PIM", "Duplex", "+PE", "+PE+ET")


class Point(NamedTuple):
    """One run: mean prompt and output length, and requests in flight."""

    case: str
    length: int
    batch: int


Study = dict[tuple[Point, str], Metrics]
"""Metrics by point and machine, under one set-up."""


class Run(NamedTuple):
    """A machine under a set-up, at the points for which `at` holds."""

    machine: str
    setup: Setup = TEXT
    at: Callable[[Point], bool] = lambda point: True


def points(cases: Iterable[str], batches: Sequence[int] = BATCHES) -> list[Point]:
    return [
        Point(case, length, batch)
        for case in cases
        for length in CASES[case].lengths
        for batch in batches
    ]


def studies(
    asked: Sequence[Point],
    runs: Sequence[Run],
    *,
    seed: int = 0,
    jobs: int = 1,
    say: Callable[[str], None] | None = None,
) -> dict[str, Study]:
    """Every run by the name of its set-up: continuous batching with the batch always full, met in
    the middle of its work. jobs: processes, one length of a model each; results are the same."""
    from joblib import Parallel as Pool
    from joblib import delayed

    groups: dict[tuple[str, int], list[Point]] = {}
    for point in asked:
        groups.setdefault((point.case, point.length), []).append(point)
    wanted = [
        [(run.machine, run.setup, [p for p in group if run.at(p)]) for run in runs]
        for group in groups.values()
    ]
    out: dict[str, Study] = {run.setup.name: {} for run in runs}
    parts: Any = Pool(n_jobs=jobs, return_as="generator")(delayed(_group)(w, seed) for w in wanted)
    for (case, length), part in zip(groups, parts, strict=True):
        for (name, point, machine), found in part.items():
            out[name][point, machine] = found
        if say is not None:
            say(f"{case}, {length} tokens in and out: done")
    return out


def _group(
    wanted: list[tuple[str, Setup, list[Point]]], seed: int
) -> dict[tuple[str, Point, str], Metrics]:
    """The points of one model and length; what its stages ask of the host is built once."""
    stages: dict[tuple[str, int, Efficiency], Stages] = {}
    out: dict[tuple[str, Point, str], Metrics] = {}
    for machine, setup, asked in wanted:
        if not asked:
            continue
        costs = costs_of(CASES[asked[0].case], machine, setup, stages, seed)
        for point in asked:
            requests = drawn(
                WAVES * point.batch,
                prompt_mean=point.length,
                output_mean=point.length,
                spread=SPREAD,
                rate_per_s=1.0,
                seed=seed,
                shape="gaussian",
            )
            served = serve(
                requests, costs, most_requests=point.batch, closed=True, stationary=True, seed=seed
            )
            out[setup.name, point, machine] = metrics(served)
    return out


def costs_of(
    case: Case,
    name: str,
    setup: Setup,
    stages: dict[tuple[str, int, Efficiency], Stages],
    seed: int,
) -> CycleCosts:
    """The stages of a case on a machine; those that other machines built are used again."""
    machine = MACHINES[name]
    made, split = machine_of(case, machine), case.ep if machine.split == "ep" else case.et
    if machine.times > 1:
        split = _wider(split, machine.times)
    model, rates = model_named(case.model), rates_of(made, setup)
    key = machine.split, machine.times, rates.share
    if key not in stages:
        stages[key] = Stages(model, made, split, rates.share)
    units = machine.units or setup.units
    return CycleCosts(model, made, split, rates, units=units, seed=seed, stages=stages[key])


def machine_of(case: Case, machine: Machine) -> System:
    """The case's system with this kind of device; twice the devices stand in the same nodes."""
    made = system(f"{machine.kind}-{case.devices}")
    inner, *outer = made.tiers
    wider = msgspec.structs.replace(inner, size=inner.size * machine.times)
    tiers = tuple(_with_energy(tier, inner.link.energy_j_per_byte) for tier in (wider, *outer))
    return msgspec.structs.replace(made, devices=made.devices * machine.times, tiers=tiers)


def _with_energy(tier: Tier, energy_j_per_byte: float | None) -> Tier:
    """A tier whose link has no published energy is given this one."""
    if tier.link.energy_j_per_byte is not None:
        return tier
    link = msgspec.structs.replace(tier.link, energy_j_per_byte=energy_j_per_byte)
    return msgspec.structs.replace(tier, link=link)


def _wider(split: Parallel, times: int) -> Parallel:
    """Twice the devices: attention and the groups of experts spread over all of them."""
    return msgspec.structs.replace(split, tp=split.tp * times, ep=split.ep * times)


def rates_of(made: System, setup: Setup) -> Rates:
    """What the memory core leaves both units, each reading whole rows from end to end."""
    device = made.devices[0]
    assert isinstance(device, Pim)
    if setup.peak:
        return Rates(share=Efficiency())
    host = host_rate(device, setup.spaces, own_bus=setup.own_bus)
    alone = host.alone
    return Rates(
        share=Efficiency(weights=alone, kv=alone, activations=alone, evidence="simulated"),
        pim_weights=pim_rate(device, setup.spaces).share_of_peak,
        pim_kv=pim_rate(device, CACHE_SPACES).share_of_peak,
        beside=host.beside,
    )
