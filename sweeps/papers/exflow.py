"""ExFlow (arXiv 2401.08383): GPT-MoE of 8 to 64 experts, top-1, and its published Mixtral maps.

Placements are learnt on one half of drawn tokens and scored on the other. The affinity of the
draw is that of `moetuner`, fitted to the Mixtral maps and to nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from ...hardware import System, Tier
from ...hardware.load import device, link
from ...placement import Problem, score, solve
from ...placement.seconds import StepSeconds, sampled_steps, step_seconds
from ...workload import MoEModel
from ...workload.config import from_config
from ...workload.synthetic import topical
from ..placements import halves
from ..report.section import Section, Table
from .claim import Claim, claims_section
from .moetuner import AFFINITY
from .question import Question, Reproduced

EXPERTS = (8, 16, 32, 64)
GPUS = (4, 8, 16, 32)
LAYERS, HIDDEN, HEADS, INTER, WORDS = 24, 1024, 16, 4096, 50257
"""GPT of 350M parameters: from memory, unverified."""
NODE, NODE_COST = 4, 2.0
"""GPUs of a node (from memory, unverified), and the paper's price of a hop between two nodes."""
BATCH, CONTEXT = 64, 256
"""Requests a GPU and their context: not known to us, chosen."""
TOKENS = 6000
LIMIT_S = 0.5
MIXTRAL_HOPS = {4: 17.495, 8: 22.166}
"""GPUs -> hops of a token over 31 steps, as the names of its two published maps tell."""
CUT, FASTER = 0.67, 2.2

ASSUMED = (
    f"routing is drawn with affinity {AFFINITY:g}, fitted to the published Mixtral maps: the "
    "affinity of the GPT-MoE models is not published as numbers",
    f"{LAYERS} layers, hidden {HIDDEN}; nodes of {NODE} A100 that share two 200 Gb/s ports (all "
    "from memory, unverified)",
    f"decode, {BATCH} requests a GPU at context {CONTEXT}",
    "one gathering of the step's hidden rows besides the hops",
    "kernels and links at the roofline",
)


class Case(NamedTuple):
    """Unseen hops and seconds of contiguous and of ExFlow's placement."""

    experts: int
    gpus: int
    hops: tuple[float, float]
    seconds: tuple[StepSeconds, StepSeconds]

    @property
    def fewer_hops(self) -> float:
        return 1 - self.hops[1] / self.hops[0]

    @property
    def placed(self) -> float:
        """Cut of the one all-to-all a layer by placement alone."""
        return 1 - _some(self.seconds[1].stay_link_s) / _some(self.seconds[0].stay_link_s)

    @property
    def routed(self) -> float:
        """Cut against two all-to-alls a layer, contiguous."""
        return 1 - _some(self.seconds[1].stay_link_s) / self.seconds[0].link_s

    @property
    def faster(self) -> float:
        """Throughput over two all-to-alls a layer, contiguous."""
        return self.seconds[0].step_s / _some(self.seconds[1].stay_step_s)


def exflow(question: Question) -> Reproduced:
    """The published Mixtral hops, then the grid of experts and GPUs and its best cells."""
    cases = []
    for experts in (8,) if question.small else EXPERTS:
        for gpus in GPUS:
            if gpus <= experts:
                question.say(f"ExFlow, {experts} experts on {gpus} GPUs ...")
                cases.append(_case(experts, gpus, question))
    claims = (*_best(cases), *_mixtral(question))
    first = claims_section("exflow", "ExFlow's claims, top-1 GPT-MoE", claims, WORDS_OF_IT)
    return Reproduced(claims, (first, _grid(cases)))


def machine(gpus: int) -> System:
    """Nodes of four A100; each GPU's share of the node's two ports is half a port."""
    port = link("infiniband-hdr")
    half = msgspec.structs.replace(
        port,
        name="half an HDR port",
        bandwidth_bytes_per_s=port.bandwidth_bytes_per_s / 2,
    )
    tiers = [Tier(name="node", size=min(gpus, NODE), link=link("nvlink3"))]
    if gpus > NODE:
        tiers.append(Tier(name="cluster", size=gpus // NODE, link=half))
    return System(
        name=f"a100-{gpus}", devices=(device("a100-80gb-sxm"),) * gpus, tiers=tuple(tiers)
    )


def gpt_moe(experts: int) -> MoEModel:
    """A GPT with experts in every layer, each token to one of them."""
    config: dict[str, Any] = {
        "model_type": "glam",
        "hidden_act": "gelu",
        "is_gated_act": False,
        "hidden_size": HIDDEN,
        "intermediate_size": INTER,
        "moe_layer_step": 1,
        "num_attention_heads": HEADS,
        "num_key_value_heads": HEADS,
        "head_dim": HIDDEN // HEADS,
        "num_experts": experts,
        "num_experts_per_tok": 1,
        "num_hidden_layers": LAYERS,
        "tie_word_embeddings": True,
        "torch_dtype": "float16",
        "vocab_size": WORDS,
    }
    return from_config(config, name=f"gpt-moe-{experts}e")


def _case(experts: int, gpus: int, question: Question) -> Case:
    model, system = gpt_moe(experts), machine(gpus)
    tokens = 1500 if question.small else TOKENS
    drawn = topical(experts, 1, 2 * tokens, LAYERS, AFFINITY, question.seed)
    learn, fresh = halves(drawn)
    asked, unseen = (
        Problem.of(half, gpus, system=system, node_cost=NODE_COST) for half in (learn, fresh)
    )
    steps = sampled_steps(model, fresh, BATCH * gpus, CONTEXT, 1, question.seed)
    limit_s = 0.1 if question.small else LIMIT_S
    maps = [
        solve(asked, method, limit_s, question.seed).expert_map
        for method in ("contiguous", "exflow")
    ]
    before, after = (score(one, unseen)["hops"] for one in maps)
    first, second = (step_seconds(one, model, steps, system) for one in maps)
    return Case(experts, gpus, (before, after), (first, second))


def _best(cases: Sequence[Case]) -> tuple[Claim, ...]:
    """The paper says 'up to': its best cell beside ours, for each reading of the words."""
    placed = max(cases, key=lambda case: case.placed)
    routed = max(cases, key=lambda case: case.routed)
    faster = max(cases, key=lambda case: case.faster)
    hops = max(cases, key=lambda case: case.fewer_hops)
    weak = "the drawn affinity is Mixtral's; that of GPT-MoE models is not published as numbers"
    before = faster.seconds[0]
    mixed = (
        f"two all-to-alls take {before.link_s / before.step_s:.0%} of a roofline step: without "
        f"any it would be {before.step_s / (before.step_s - before.link_s):.2f}x; the paper's "
        "collectives must have cost more than bytes and one latency"
    )

    def claim(words: str, case: Case, value: float, reason: str, unit: str = "%") -> Claim:
        made = Claim(
            paper="ExFlow",
            metric=f"{words}, {case.experts} experts on {case.gpus} GPUs",
            unit=unit,
            published=CUT if unit == "%" else FASTER,
            ours=value,
            neutral=0.0 if unit == "%" else 1.0,
            assumptions=ASSUMED,
        )
        return made if made.status == "reproduced" else msgspec.structs.replace(made, reason=reason)

    return (
        claim("cross-GPU hops, cut", hops, hops.fewer_hops, weak),
        claim("routing time, cut by placement", placed, placed.placed, weak),
        claim("routing time, cut against two all-to-alls", routed, routed.routed, weak),
        claim("throughput", faster, faster.faster, mixed, "x"),
    )


def _mixtral(question: Question) -> list[Claim]:
    """Hops of a token's first choices over 31 steps at the optimum, unseen tokens."""
    drawn = topical(8, 2, 4000 if question.small else 24_000, 32, AFFINITY, question.seed)
    top = msgspec.structs.replace(drawn, expert_ids=drawn.expert_ids[:, :, :1].copy())
    learn, fresh = halves(top)
    claims = []
    for gpus, published in MIXTRAL_HOPS.items():
        # With one expert a GPU only their names are left, for which two stages are exact.
        method = "exact" if gpus < 8 else "two-stage"
        placed = solve(Problem.of(learn, gpus), method, 10.0, question.seed)
        hops = score(placed.expert_map, Problem.of(fresh, gpus))["hops"] * 31
        claims.append(
            Claim(
                paper="ExFlow",
                metric=f"hops of its Mixtral map, {gpus} GPUs",
                unit="hops",
                published=published,
                ours=hops,
                neutral=31 * (1 - 1 / gpus),
                fitted=True,
                reason="one affinity was fitted to both maps: that both agree is the finding",
            )
        )
    return claims


def _grid(cases: Sequence[Case]) -> Section:
    """Every cell of the grid as a table and as lines."""
    from ..plots.claims import savings

    def lines(of: str, scale: float) -> dict[str, list[tuple[float, float]]]:
        return {
            f"{experts} experts": [
                (case.gpus, getattr(case, of) * scale) for case in cases if case.experts == experts
            ]
            for experts in dict.fromkeys(case.experts for case in cases)
        }

    rows = tuple(
        (
            str(case.experts),
            str(case.gpus),
            f"{case.hops[0]:.3f}",
            f"{case.hops[1]:.3f}",
            f"{case.fewer_hops:.1%}",
            f"{case.placed:.1%}",
            f"{case.routed:.1%}",
            f"{case.seconds[0].step_s * 1e3:.3f}",
            f"{_some(case.seconds[1].stay_step_s) * 1e3:.3f}",
            f"{case.faster:.2f}x",
        )
        for case in cases
    )
    said = "the paper's 'up to'"
    return Section(
        name="exflow-grid",
        title="ExFlow on every number of experts and GPUs",
        words=(
            "Unseen tokens; beyond four GPUs hops go between nodes too. ExFlow has no term for "
            "loads: where its placement crowds a GPU, the step is slower than contiguous.",
        ),
        evidence=("simulated",),
        tables=(Table(columns=COLUMNS, rows=rows),),
        figure=savings(
            [
                ("hops saved, %", lines("fewer_hops", 100), CUT * 100, said),
                ("routing time saved, %", lines("routed", 100), CUT * 100, said),
                ("throughput, times", lines("faster", 1), FASTER, said),
            ],
            "GPUs",
            f"Top-1 GPT-MoE, affinity {AFFINITY:g}, against contiguous with two all-to-alls",
        ),
        data=[
            {
                "experts": case.experts,
                "gpus": case.gpus,
                "hops": case.hops,
                "contiguous": case.seconds[0].summary(),
                "exflow": case.seconds[1].summary(),
            }
            for case in cases
        ],
    )


COLUMNS = (
    "experts", "GPUs", "hops, contiguous", "hops, ExFlow", "hops saved", "routing, by placement",
    "routing, against two", "step ms, contiguous", "step ms, ExFlow", "throughput",
)  # fmt: skip
WORDS_OF_IT = (
    "Contiguous placement with tokens that return home after every layer (two all-to-alls, "
    "DeepSpeed-MoE) against ExFlow's placement with tokens that stay (one). The paper's 'up to' is "
    "held against the best cell of the grid; its Mixtral maps are facts, their hops are counted.",
)


def _some(seconds: float | None) -> float:
    assert seconds is not None  # the routing of every token is known here
    return seconds
