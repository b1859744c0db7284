"""Duplex (arXiv 2409.01141, MICRO 2024): every printed headline beside ours."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from ...base.units import show
from ...simulator.step.expert_layer import ExpertLayer
from ...simulator.step.pair import pair_of
from ...simulator.step.policies import POLICIES
from ...workload.drawn import drawn_loads
from ...workload.load import model as model_named
from ..report.section import Section, Table
from .claim import Claim, claims_section
from .duplex_headlines import HEADLINES, SERVED, Headline, over, readable, saved
from .duplex_study import (
    CASES,
    MACHINES,
    PIMS,
    ROOFLINE,
    SETUPS,
    SPREAD,
    TEXT,
    Point,
    Run,
    Study,
    machine_of,
    points,
    rates_of,
    studies,
)
from .edap import edap_claims, edap_sections
from .question import Question, Reproduced

JOBS = 2
ASSUMED = (
    "lengths are Gaussian with a standard deviation of "
    f"{SPREAD:.0%} of their mean (the paper prints none)",
    "batches are those of the whole system, always full",
    "attention is tensor-parallel inside a node and replicated over nodes",
    "the GPU is the processor of a Duplex device on the same memory",
    "a byte over InfiniBand costs what one over NVLink does",
    "requests/s are those that a full batch sustains at 1024 tokens in and out",
    TEXT.words,
)


def duplex(question: Question) -> Reproduced:
    """The serving study under the paper's words and under other readings of them, area and EDAP."""
    asked = points(("Mixtral",) if question.small else CASES)
    found = studies(asked, _runs(question.small), seed=question.seed, jobs=JOBS, say=question.say)
    main = found[TEXT.name]
    others = {name: main | one for name, one in found.items() if name != TEXT.name}
    headlines = readable(HEADLINES, asked)
    claims = [_claim(headline, main, others) for headline in headlines] + list(edap_claims())
    title = "Duplex: published beside ours"
    sections = [
        claims_section("duplex", title, claims, words=(_words(),)),
        _throughput(main, asked),
        _split(question.seed),
        *edap_sections(),
    ]
    return Reproduced(tuple(claims), tuple(sections))


def _runs(small: bool) -> list[Run]:
    """All machines under the text's set-up, twice the devices only where a latency asks for it;
    the other readings, which change the Duplex machines alone; and the plain roofline."""
    runs: list[Run] = []
    for setup in (TEXT,) if small else (TEXT, ROOFLINE):
        runs += [Run(name, setup, _latency if name == "2xGPU" else _any) for name in MACHINES]
    if not small:
        changed = [name for name in PIMS if name != "Bank-PIM"]
        runs += [Run(name, setup) for setup in SETUPS if setup is not TEXT for name in changed]
    return runs


def _any(point: Point) -> bool:
    return True


def _latency(point: Point) -> bool:
    return point.case == "GLaM" and point.batch == SERVED


def _claim(headline: Headline, main: Study, others: dict[str, Study]) -> Claim:
    ours = headline.read(main)
    read = {name: headline.read(one) for name, one in others.items()}
    roofline = read.pop(ROOFLINE.name, None)
    ends = (min(ours, *read.values()), max(ours, *read.values())) if read else None
    claim = Claim(
        paper="Duplex",
        metric=headline.metric,
        unit=headline.unit,
        published=headline.published,
        ours=ours,
        neutral=headline.neutral,
        span=ends,
        roofline=roofline,
        assumptions=ASSUMED,
        published_evidence="simulated",
    )
    differs = claim.status != "reproduced"
    return msgspec.structs.replace(claim, reason=headline.reason if differs else "")


def _words() -> str:
    readings = "; ".join(f"{setup.name}: {setup.words}" for setup in SETUPS)
    return (
        "No number of ours was tuned to one of the paper's, whose own are simulated too. What it "
        f"leaves open is read as follows, 'ours' being the first: {readings}. Plain roofline: "
        f"{ROOFLINE.words}."
    )


def _throughput(found: Study, asked: Sequence[Point]) -> Section:
    """Throughput over the GPU by model, length and batch, with energies in the table."""
    from ..plots.duplex import throughput

    ratios = {name: over(found, name) for name in PIMS}
    less = saved(found)
    rows = [
        (
            point.case, str(point.length), str(point.batch),
            show(found[point, "GPU"].tokens_per_s, "token/s"),
            *(f"{ratios[name][point]:.2f}x" for name in PIMS), f"{less[point]:.1%}",
        )
        for point in asked
    ]  # fmt: skip
    return Section(
        name="duplex-throughput",
        title="Duplex: throughput by batch and length",
        words=("Continuous batching, prompts and outputs of the same mean length.",),
        evidence=("simulated",),
        tables=(
            Table(
                columns=("model", "length", "batch", "GPU", *PIMS, "energy saved by +PE+ET"),
                rows=tuple(rows),
            ),
        ),
        figure=throughput(ratios, asked),
        data=[
            {**point._asdict(), **{name: ratios[name][point] for name in PIMS}} for point in asked
        ],
    )


SPLIT_TOKENS = tuple(2**power for power in range(2, 13))
WAYS = {"xPU alone": "xpu", "one unit": "one-unit", "spaces": "spaces", "exact": "exact"}


def _split(seed: int) -> Section:
    """How experts are shared out as a step's tokens grow: one layer of Mixtral on a device that
    holds a fourth of each expert (+ET)."""
    from ..plots.duplex import split

    case = CASES["Mixtral"]
    made = machine_of(case, MACHINES["Duplex"])
    pair = pair_of(made.devices[0], rates_of(made, TEXT))
    seconds: dict[str, list[float]] = {name: [] for name in WAYS}
    on_pim: dict[str, list[float]] = {name: [] for name in WAYS}
    model = model_named(case.model)
    for tokens in SPLIT_TOKENS:
        chance = np.full(model.experts.count, model.experts.top_k / model.experts.count)
        loads = drawn_loads(chance, model.experts.top_k, tokens, 64, seed).astype(np.float64)
        for name, units_ in WAYS.items():
            times = ExpertLayer.of_model(model, pair, POLICIES[units_], expert_tp=4).times(loads)
            seconds[name].append(float(times.seconds.mean()))
            on_pim[name].append(times.on_pim)
    rows = [
        (str(tokens), *(show(seconds[name][i], "s") for name in WAYS),
         *(f"{on_pim[name][i]:.0%}" for name in WAYS if name != "xPU alone"))
        for i, tokens in enumerate(SPLIT_TOKENS)
    ]  # fmt: skip
    shares = [f"on the PIM, {name}" for name in WAYS if name != "xPU alone"]
    return Section(
        name="duplex-split",
        title="Duplex: experts shared between the xPU and Logic-PIM",
        words=(
            "One layer of Mixtral, a fourth of each expert on a device, routing drawn. The xPU "
            "keeps a part of its rate only while the PIM reads, for both share a command bus.",
        ),
        evidence=("simulated",),
        tables=(Table(columns=("tokens", *WAYS, *shares), rows=tuple(rows)),),
        figure=split(SPLIT_TOKENS, seconds, on_pim),
        data={"tokens": SPLIT_TOKENS, "seconds": seconds, "on_pim": on_pim},
    )
