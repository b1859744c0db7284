"""What a measured table holds: the columns of each kind, their units and what they may say."""

from __future__ import annotations

from typing import Literal, NamedTuple

Kind = Literal["moe", "gemm", "attention", "power", "comm", "serving"]

TIME_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}
"""A time column is written in one of these, named in its suffix: latency_us, latency_ms, latency_s.
In memory it is in seconds and ends in _s."""


class Column(NamedTuple):
    """One column. holds: int, float, text, dtype (a number format) or time (positive).

    least, most: the allowed range of a number (of seconds, for a time). pattern: what a text must
    match as a whole. needed: a table without it is refused. blank: cells may be empty (nan, or '').
    """

    holds: Literal["int", "float", "text", "dtype", "time"]
    meaning: str
    least: float = 1
    most: float = 2**31 - 1
    pattern: str = r"[^\x00-\x1f]{0,400}"
    allowed: str = "at most 400 printable characters"
    needed: bool = True
    blank: bool = False


def _time(meaning: str) -> Column:
    return Column("time", meaning, least=1e-9, most=1e5)


def _degree(meaning: str) -> Column:
    return Column("int", meaning, least=0, most=4096, needed=False, blank=True)


_WHO = {
    "backend": Column("text", "framework that ran it", needed=False, blank=True),
    "version": Column("text", "version of the framework", needed=False, blank=True),
    "kernel_source": Column("text", "kernel that the framework chose", needed=False, blank=True),
}
_DTYPE = {"dtype": Column("dtype", "number format of the weights and products")}
_REPEATS = {"n_repeats": Column("int", "timings of which this is the median", needed=False)}

MOE = {
    **_WHO,
    **_DTYPE,
    "hidden": Column("int", "width of the residual stream", most=2**20),
    "inter": Column("int", "width of one expert, before any split", most=2**20),
    "topk": Column("int", "experts of a token", most=4096),
    "num_experts": Column("int", "experts of the layer, before any split", most=2**16),
    "gated": Column("int", "1: gate, up and down matrices; 0: up and down", least=0, most=1),
    "tp": Column("int", "devices that share one expert: each holds inter/tp", most=4096),
    "ep": Column("int", "groups that the experts are spread over", most=4096),
    "distribution": Column(
        "text",
        "load of the experts: balanced, drawn uniformly, or by a power law of that exponent",
        pattern=r"balanced|uniform|pl\d+(\.\d+)?",
        allowed="balanced, uniform or pl<exponent>, such as pl1.2",
    ),
    "num_tokens": Column("int", "tokens of the whole expert-parallel group", most=2**30),
    "latency_s": _time("time of one layer on the busiest device, without communication"),
    **_REPEATS,
}

POWER = {
    **MOE,
    "power_w": Column("float", "mean watts of the board while the layer repeats", most=1e5),
    "power_limit_w": Column("float", "watts that the board may draw", most=1e5),
}

GEMM = {
    **_WHO,
    **_DTYPE,
    "m": Column("int", "rows (tokens)", most=2**30),
    "n": Column("int", "columns of the result", most=2**30),
    "k": Column("int", "length of the sums", most=2**30),
    "latency_s": _time("time of C[m,n] = A[m,k] B[k,n]"),
    **_REPEATS,
}

ATTENTION = {
    **_WHO,
    "phase": Column(
        "text",
        "prefill: every query token of a request at once, under a causal mask; decode: one",
        pattern="prefill|decode",
        allowed="prefill or decode",
    ),
    "variant": Column(
        "text",
        "gqa: query heads share heads of keys and values (all forms from MHA to MQA); mla: they "
        "share one latent",
        pattern="gqa|mla",
        allowed="gqa or mla",
    ),
    "dtype": Column("dtype", "number format of queries, and so of the products"),
    "kv_dtype": Column("dtype", "number format of cached keys and values"),
    "head_dim": Column("int", "width of a head's query; for mla before absorption", most=2**12),
    "num_heads": Column("int", "query heads on the device", most=2**12),
    "num_kv_heads": Column("int", "heads of keys and values on it; 1 for mla", most=2**12),
    "batch_size": Column("int", "requests", most=2**20),
    "query_tokens": Column("int", "new tokens of each request", most=2**24),
    "cached_tokens": Column("int", "tokens of each request before them", least=0, most=2**30),
    "latency_s": _time("time of one layer's attention, projections left out"),
    **_REPEATS,
}

COMM = {
    **_WHO,
    "collective": Column(
        "text",
        "what is exchanged",
        pattern="all_reduce|all_gather|reduce_scatter|alltoall",
        allowed="all_reduce, all_gather, reduce_scatter or alltoall",
    ),
    **_DTYPE,
    "num_gpus": Column("int", "devices that take part", least=2, most=2**16),
    "message_bytes": Column("int", "size of the message, as nccl-tests counts it", most=2**40),
    "latency_s": _time("time of one collective"),
    **_REPEATS,
}

_DEGREES = ("batch_size", "tp_size", "pp_size", "attention_dp_size", "moe_tp_size", "moe_ep_size")

SERVING = {
    "id": Column("text", "name of the run", needed=False, blank=True),
    "data_source": Column("text", "where the run was published", needed=False, blank=True),
    "backend": _WHO["backend"],
    "version": _WHO["version"],
    "model": Column("text", "model, as its publisher names it"),
    "precision": Column("text", "number format that the run names", needed=False, blank=True),
    "mode": Column(
        "text",
        "prefill and decode together (agg) or on devices of their own (disagg)",
        pattern="agg|disagg",
        allowed="agg or disagg",
    ),
    "gemm_quant_mode": Column("text", "format of dense weights", needed=False, blank=True),
    "moe_quant_mode": Column("text", "format of expert weights", needed=False, blank=True),
    "isl": Column("int", "input tokens of a request", most=2**24),
    "osl": Column("int", "output tokens of a request", most=2**24),
    **{name: _degree(f"{name} of an agg run") for name in _DEGREES},
    **{
        f"{stage}_{name}": _degree(f"{name} of the {stage} devices of a disagg run")
        for stage in ("prefill", "decode")
        for name in ("num_workers", *_DEGREES)
    },
    "ttft_s": _time("time to the first token"),
    "tpot_s": _time("time of every later token"),
}

SCHEMAS: dict[str, dict[str, Column]] = {
    "moe": MOE,
    "gemm": GEMM,
    "attention": ATTENTION,
    "power": POWER,
    "comm": COMM,
    "serving": SERVING,
}
"""Columns by kind and name, in the order of the tables."""
