"""Results: what is known of a point once it is evaluated, at any detail."""

from __future__ import annotations

from typing import NamedTuple

from ...base import Evidence


class Result(NamedTuple):
    """kind: 'number' or 'text'; unit: SI or ''; says: what it is. published: it rests on figures
    of the machine alone, not on the model of its time."""

    kind: str
    unit: str
    says: str
    published: bool = False


OK, TOO_LARGE = "ok", "does not fit"

RESULTS: dict[str, Result] = {
    "tpot_s": Result("number", "s", "time per output token: of one decoding step"),
    "ttft_s": Result("number", "s", "time to first token: a prompt of `prompt` tokens, alone"),
    "throughput_tokens_per_s": Result("number", "token/s", "tokens made a second, of all requests"),
    "device_tokens_per_s": Result("number", "token/s", "the same by device"),
    "energy_j_per_token": Result("number", "J/token", "arithmetic, memory and links"),
    "cost_usd_per_token": Result("number", "USD/token", "price of the hour over its tokens"),
    "price_usd_per_hour": Result("number", "USD/h", "of the machine, or of its devices", True),
    "area_m2": Result("number", "m2", "of all devices together", True),
    "power_w": Result("number", "W", "limit of the machine, or of its devices", True),
    "devices": Result("number", "", "that the model is split over"),
    "spare_bytes": Result("number", "B", "to spare on the fullest device; negative: does not fit"),
    "limiter": Result("text", "", "the resource that takes most of a decoding step"),
    "detail": Result("text", "", "how closely it was looked at: bound, tile, cycle or served"),
    "status": Result("text", "", f"{OK!r}, {TOO_LARGE!r}, or why the point cannot be built"),
}
"""Numbers are NaN where they are unknown: no prompt, no price, a constant that no source gives."""


def evidence(name: str, detail: str) -> Evidence:
    """What a result of a row of this detail rests on. Tiles say nothing of joules, no
    detail of bytes and devices: those are the bound's."""
    if RESULTS[name].published:
        return "measured-published"
    if name in ("spare_bytes", "devices") or (detail == "tile" and name == "energy_j_per_token"):
        return "bound"
    return "bound" if detail == "bound" else "simulated"
