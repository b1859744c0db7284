"""Problem: the routing to serve, the ranks that serve it, and what is allowed."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from ..base import BadInput, NonNegative, Spec
from ..base.files import content_hash
from ..hardware import System
from ..workload import ExpertMap, RoutingCounts, RoutingTrace
from ..workload.activated import touch_chance
from ..workload.statistics import MOST_CELLS, transitions

Floats = NDArray[np.float64]


class Weights(Spec, frozen=True, kw_only=True):
    """How much each price counts where a method trades one for another.

    hops: a token's hop to another rank between layers. fan_out: one more rank that a token is sent
    to in a layer. moves: an expert copied to a rank that does not hold it now, in assignments that
    it has to save. Balance is not weighed: it is a cap.
    """

    hops: NonNegative = 1.0
    fan_out: NonNegative = 0.0
    moves: NonNegative = 0.0


HOPS_ONLY = Weights()

MOST_NODE_COST = 1e6
"""No link is so much slower than another; beyond it sums of doubles lose the hops inside nodes."""


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """Where shall each expert of each MoE layer live?

    loads: float64 `[moe_layers, experts]`, what a rank has to do for each expert: assignments, or
    the chance that a step touches it. layers: the absolute number of each MoE layer. ranks: the
    size of the expert-parallel group; `ranks_per_node` neighbours form a node (all by default).
    slots_per_rank: int64 `[ranks]`, the experts that each rank holds in every layer; more slots
    than experts hold copies. cap: the largest rank load allowed as a multiple of the layer's mean:
    one number, or `[layers]`; None allows any. transitions: `[moe_layers - 1, experts, experts]`,
    assignments of a layer that go on to each expert of the next (`flows`). routing: int16 `[tokens,
    moe_layers, top_k]`, the same routing token by token.
    node_cost: what a hop to another node costs when one inside the node costs 1.
    groups: runs of neighbouring experts (DeepSeek routes a token to few of them);
    a method by nodes keeps them together. None: it chooses.
    current: the map that is loaded now; most_moves: how many experts may come to a rank that does
    not hold them now, over all layers. expert_bytes: weights of one expert of one layer; with a
    system, what a rank's slots hold must fit in its devices.
    """

    loads: Floats
    layers: tuple[int, ...]
    ranks: int
    slots_per_rank: NDArray[np.int64]
    ranks_per_node: int | None = None
    node_cost: float = 1.0
    groups: int | None = None
    cap: float | Floats | None = None
    transitions: Floats | None = None
    routing: NDArray[np.int16] | None = None
    current: ExpertMap | None = None
    most_moves: int | None = None
    expert_bytes: float | None = None
    weights: Weights = HOPS_ONLY
    system: System | None = None

    def __post_init__(self) -> None:
        self._check_loads()
        self._check_ranks()
        self._check_memory()
        self._check_routing()
        self._check_moves()

    def _check_loads(self) -> None:
        loads = self.loads
        if loads.ndim != 2 or 0 in loads.shape:
            raise BadInput(f"needs [layers, experts], got the shape {loads.shape}", key="loads")
        if len(self.layers) != loads.shape[0]:
            raise BadInput(
                f"names {len(self.layers)} layers for {loads.shape[0]} rows of loads", key="layers"
            )
        if not np.isfinite(loads).all() or loads.min() < 0:
            raise BadInput("must be finite and not negative", key="loads")
        for layer, row in zip(self.layers, loads, strict=True):
            if not row.any():
                raise BadInput(f"layer {layer} has no load at all: nothing to place", key="loads")

    def _check_ranks(self) -> None:
        slots = self.slots_per_rank
        if slots.shape != (self.ranks,) or slots.min(initial=0) < 0:
            raise BadInput(
                f"needs one count for each of the {self.ranks} ranks", key="slots_per_rank"
            )
        if slots.sum() < self.experts:
            raise BadInput(
                f"{self.experts} experts do not fit in {slots.sum()} slots on {self.ranks} ranks; "
                "give more slots per rank or more ranks",
                key="slots_per_rank",
            )
        if slots.max() > self.experts:
            raise BadInput(
                f"gives a rank {slots.max()} slots for {self.experts} experts: a rank gains "
                "nothing by a second copy of an expert",
                key="slots_per_rank",
            )
        if self.node_ranks < 1 or self.ranks % self.node_ranks:
            raise BadInput(
                f"must divide the {self.ranks} ranks", key="ranks_per_node", value=self.node_ranks
            )
        if not 1 <= self.node_cost <= MOST_NODE_COST:
            raise BadInput(
                f"must be from 1 (a hop inside the node) to {MOST_NODE_COST:g}",
                key="node_cost",
                value=self.node_cost,
            )
        if self.groups is not None and (self.groups < 1 or self.experts % self.groups):
            raise BadInput(
                f"must divide the {self.experts} experts", key="groups", value=self.groups
            )
        if self.cap is not None:
            caps = np.asarray(self.cap, np.float64)
            if caps.shape not in {(), (len(self.layers),)}:
                raise BadInput(
                    f"needs one number, or one for each of {len(self.layers)} layers", key="cap"
                )
            if not (np.isfinite(caps) & (caps >= 1)).all():
                raise BadInput("must be at least 1 (the mean)", key="cap", value=self.cap)

    def _check_memory(self) -> None:
        if self.expert_bytes is None:
            return
        if not 0 < self.expert_bytes < float("inf"):
            raise BadInput("must be positive", key="expert_bytes", value=self.expert_bytes)
        if self.system is None:
            return
        each = max(1, len(self.system.devices) // self.ranks)
        memories = [d.memory.capacity_bytes for d in self.system.devices]
        room = min(sum(memories[r : r + each]) for r in range(0, each * self.ranks, each))
        wanted = int(self.slots_per_rank.max()) * len(self.layers) * self.expert_bytes
        if wanted > room:
            most = int(room / (len(self.layers) * self.expert_bytes))
            raise BadInput(
                f"{self.slots_per_rank.max()} experts a rank in {len(self.layers)} layers take "
                f"{wanted / 1e9:.1f} GB; {self.system.name} has {room / 1e9:.1f} GB a rank, room "
                f"for {most} at most",
                key="slots_per_rank",
            )

    def _check_routing(self) -> None:
        layers, experts = self.loads.shape
        flow, ids = self.transitions, self.routing
        if flow is not None:
            if flow.shape != (layers - 1, experts, experts):
                raise BadInput(
                    f"needs the shape {(layers - 1, experts, experts)}, got {flow.shape}",
                    key="transitions",
                )
            if not np.isfinite(flow).all() or flow.min(initial=0) < 0:
                raise BadInput("must be finite and not negative", key="transitions")
        if ids is not None and (ids.ndim != 3 or ids.shape[1] != layers):
            raise BadInput(
                f"needs [tokens, {layers} layers, top_k], got {ids.shape}", key="routing"
            )
        if ids is not None and (ids.min(initial=0) < -1 or ids.max(initial=0) >= experts):
            raise BadInput(f"holds an expert outside 0..{experts - 1}", key="routing")

    def _check_moves(self) -> None:
        if self.current is not None:
            found = (self.current.layers, self.current.experts, self.current.devices)
            wanted = (self.layers, self.experts, self.ranks)
            if found != wanted:
                raise BadInput(
                    f"holds {len(found[0])} layers of {found[1]} experts on {found[2]} ranks; "
                    f"the routing has {len(wanted[0])} of {wanted[1]} on {wanted[2]}, or other "
                    "layer numbers",
                    key="current map",
                )
        if self.most_moves is not None:
            if self.current is None:
                raise BadInput("needs the map that is loaded now", key="most_moves")
            if self.most_moves < 0:
                raise BadInput("must not be negative", key="most_moves", value=self.most_moves)

    @classmethod
    def of(
        cls,
        routing: RoutingCounts | RoutingTrace,
        ranks: int,
        *,
        slots_per_rank: int | None = None,
        cap: float | Floats | None = None,
        system: System | None = None,
        node_cost: float = 1.0,
        groups: int | None = None,
        batch: int | None = None,
        current: ExpertMap | None = None,
        most_moves: int | None = None,
        expert_bytes: float | None = None,
        weights: Weights = HOPS_ONLY,
    ) -> Problem:
        """The problem of a recorded trace or of its counts, summed over its windows.

        Without `slots_per_rank` each expert gets one slot and the ranks hold equal numbers; where
        `ranks` does not divide the experts the first ranks hold one more. The first tier of
        `system` is the node; a rank is devices / ranks neighbours. batch: balances the experts that
        a step of so many tokens touches (a memory-bound step reads their weights, arXiv 2512.09277)
        instead of tokens.
        """
        counts = routing.counts() if isinstance(routing, RoutingTrace) else routing
        if ranks < 1:
            raise BadInput("must be at least 1", key="ranks", value=ranks)
        if slots_per_rank is None and ranks > counts.experts:
            raise BadInput(
                f"{ranks} ranks cannot share {counts.experts} experts without copies; use at most "
                f"{counts.experts} ranks, or give slots",
                key="ranks",
            )
        if slots_per_rank is None:
            slots = np.full(ranks, counts.experts // ranks, np.int64)
            slots[: counts.experts % ranks] += 1
        else:
            slots = np.full(ranks, slots_per_rank, np.int64)
        return cls(
            loads=np.ascontiguousarray(_work(routing, counts, batch), np.float64),
            layers=counts.layers,
            ranks=ranks,
            slots_per_rank=slots,
            ranks_per_node=_ranks_per_node(system, ranks),
            node_cost=node_cost,
            groups=groups,
            cap=cap,
            transitions=flows(routing),
            routing=routing.expert_ids if isinstance(routing, RoutingTrace) else None,
            current=current,
            most_moves=most_moves,
            expert_bytes=expert_bytes,
            weights=weights,
            system=system,
        )

    @property
    def experts(self) -> int:
        return int(self.loads.shape[1])

    @property
    def slots(self) -> int:
        """Slots of a layer over all ranks."""
        return int(self.slots_per_rank.sum())

    @property
    def slot_ranks(self) -> NDArray[np.int32]:
        """The rank of each slot, in rank order: `[slots]`."""
        return np.repeat(np.arange(self.ranks, dtype=np.int32), self.slots_per_rank)

    @property
    def has_copies(self) -> bool:
        return self.slots > self.experts

    @property
    def node_ranks(self) -> int:
        return self.ranks if self.ranks_per_node is None else self.ranks_per_node

    @property
    def nodes(self) -> int:
        return self.ranks // self.node_ranks

    def hop_costs(self) -> Floats:
        """What a hop from rank to rank costs: `[ranks, ranks]`; staying is free."""
        node = np.arange(self.ranks) // self.node_ranks
        cost = np.where(node[:, None] == node, 1.0, self.node_cost)
        np.fill_diagonal(cost, 0.0)
        return cost

    @property
    def caps(self) -> Floats:
        """The largest rank load allowed, over the mean: `[moe_layers]`; inf where any is."""
        cap = np.inf if self.cap is None else self.cap
        return np.broadcast_to(np.asarray(cap, np.float64), len(self.layers))

    @property
    def mean_loads(self) -> NDArray[np.float64]:
        """The mean load of a rank: `[moe_layers]`."""
        return np.asarray(self.loads.sum(axis=1) / self.ranks)

    def terms(self) -> dict[str, Any]:
        """What a certificate on hops speaks of: its keyword arguments beside bound and proofs."""
        return {
            "problem": self.hop_fingerprint(),
            "node_ranks": self.node_ranks,
            "node_cost": self.node_cost,
            "caps": None if self.cap is None else tuple(self.caps.tolist()),
        }

    def fingerprint(self) -> str:
        """A hash of loads and slots: ties the proofs on loads to what they speak of."""
        return content_hash(
            np.ascontiguousarray(self.loads, "<f8").tobytes(),
            np.ascontiguousarray(self.slots_per_rank, "<i8").tobytes(),
            repr(self.loads.shape),
        )

    def hop_fingerprint(self) -> str:
        """The same for proofs on hops, which rest on transitions, nodes and the cap as well."""
        flow = np.zeros(0) if self.transitions is None else self.transitions
        numbers = (flow, self.caps, np.array([self.node_cost, self.node_ranks]))
        return content_hash(
            self.fingerprint(),
            *(np.ascontiguousarray(part, "<f8").tobytes() for part in numbers),
        )


def flows(routing: RoutingCounts | RoutingTrace) -> Floats | None:
    """Assignments that go on from an expert to one of the next layer, `[layers - 1, E, E]`.

    Each of a token's k choices is dealt evenly to the k of the next layer, so that rows sum to the
    loads of the first layer and columns to those of the second. Counts have them only where their
    pairs are the neighbours among the recorded layers. None otherwise, and where there are too many
    pairs to hold.
    """
    if isinstance(routing, RoutingTrace):
        if (len(routing.layers) - 1) * routing.experts**2 > MOST_CELLS:
            return None
        return transitions(routing, every=True) / routing.top_k
    neighbours = tuple(zip(routing.layers, routing.layers[1:], strict=False))
    return routing.transitions if neighbours and routing.pairs == neighbours else None


def _work(
    routing: RoutingCounts | RoutingTrace, counts: RoutingCounts, batch: int | None
) -> Floats:
    """What is balanced: assignments, or touch chances in steps of `batch` tokens."""
    loads = counts.total()
    if batch is None:
        return loads
    if batch < 1:
        raise BadInput("must be at least 1", key="batch", value=batch)
    if not isinstance(routing, RoutingTrace):
        raise BadInput("counts do not tell how many experts a token takes", key="batch")
    return np.asarray(touch_chance(loads / routing.tokens, batch))


def _ranks_per_node(system: System | None, ranks: int) -> int:
    """Ranks in the first tier of a machine that they fill; one node where they do not."""
    if system is None or not system.tiers:
        return ranks
    devices, node = len(system.devices), int(system.tiers[0].size)
    each = devices // ranks
    return node // each if devices % ranks == 0 and node % each == 0 else ranks
