"""Controller: what stands between requests and a memory: queues, order, rows, refresh."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, get_args

import msgspec

from ...base import Natural, Share, Spec, unknown
from ...base.spec import load

Entries = Annotated[int, msgspec.Meta(ge=1, le=4096)]
Timeout = Annotated[int, msgspec.Meta(ge=0, le=10**9)]
Scheduler = Literal["fr-fcfs", "fcfs", "first-ready"]
Scope = Literal["pseudo_channel", "channel"]
RowPolicy = Literal["open", "closed", "timeout"]
Refresh = Literal["all-bank", "per-bank", "off"]
Front = Literal["in-order", "per-channel"]

CHOICES: dict[str, tuple[str, ...]] = {
    "scheduler": get_args(Scheduler),
    "queue_scope": get_args(Scope),
    "row_policy": get_args(RowPolicy),
    "refresh": get_args(Refresh),
    "front": get_args(Front),
}
"""The words that fields of a Controller take."""


class Controller(Spec, frozen=True, kw_only=True):
    """The controller of every channel. It belongs to the experiment, not to the memory.

    scheduler: 'first-ready' takes whatever command may start now, then age; a request whose row was
    opened for it leaves the queue and waits at its bank. 'fr-fcfs' keeps a row open while requests
    wait for it, and these in the queue; most_hits of them may pass an older request of their bank
    (0: any number; only this scheduler asks). 'fcfs' goes by age alone. read_queue, write_queue:
    entries of each queue, of which every pseudo channel (or rank) has its own, or a channel one
    (`queue_scope`). Writes wait until `write_high` of their queue is full and are then sent until
    `write_low` is left. row_policy: rows stay open, are closed with the last waiting hit, or after
    `timeout_cycles` without one. front: 'in-order' lets one request that finds no room hold back
    all later ones, in all channels; 'per-channel' those of its own channel. address_map: instead of
    the memory's own.
    """

    scheduler: Scheduler = "first-ready"
    most_hits: Natural = 0
    read_queue: Entries = 32
    write_queue: Entries = 32
    queue_scope: Scope = "pseudo_channel"
    write_high: Share = 0.8
    write_low: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.2
    row_policy: RowPolicy = "open"
    timeout_cycles: Timeout = 0
    refresh: Refresh = "all-bank"
    front: Front = "per-channel"
    address_map: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.most_hits and self.scheduler != "fr-fcfs":
            raise ValueError(
                f"`most_hits` {self.most_hits} goes with `scheduler` 'fr-fcfs' only, "
                f"got {self.scheduler!r}"
            )
        if self.write_low >= self.write_high:
            raise ValueError(
                f"`write_low` {self.write_low} must lie below `write_high` {self.write_high}"
            )
        if (self.row_policy == "timeout") != (self.timeout_cycles > 0):
            raise ValueError(
                f"`timeout_cycles` {self.timeout_cycles} does not go with `row_policy` "
                f"'{self.row_policy}': the policy 'timeout' needs cycles, the others take none"
            )


POLICIES: dict[str, Controller] = {
    "moesaic": Controller(),
    "ramulator": Controller(queue_scope="channel", front="in-order"),
    "fr-fcfs": Controller(scheduler="fr-fcfs"),
    "fcfs": Controller(scheduler="fcfs"),
}
"""'ramulator': as Ramulator 2.1 is configured beside the shared traces (CMU-SAFARI/ramulator2,
c5b1c3a): one queue for a channel's two pseudo channels, one door for all channels. 'moesaic' is the
same scheduler with a queue and a door for each pseudo channel: over the recorded traces it reaches
12 % more than 'ramulator' and 3 % more than 'fr-fcfs' (geometric mean), whose queues fill
sooner."""


def policy(name_or_path: str | Path) -> Controller:
    """The policy of that name, or the controller in that .toml file."""
    if str(name_or_path).endswith(".toml"):
        return load(Controller, name_or_path)
    if str(name_or_path) not in POLICIES:
        raise unknown("policy", str(name_or_path), POLICIES, key="--policy")
    return POLICIES[str(name_or_path)]
