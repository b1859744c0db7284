"""What was tried, out: T4 results and Kernel Tuner's cache, for the tools of others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...base import BadInput
from .runner import Status, Trial
from .tuning import Tuning

T4_VERSION = "1.0.0"
CACHE_VERSION = "1.1.0"
EPOCH = "1970-01-01 00:00:00+00:00"
"""A cache needs a time for each entry; none is kept, so that equal searches give equal files."""

INVALIDITY: dict[Status, str] = {
    "ok": "correct",
    "refused": "constraints",
    "compile": "compile",
    "runtime": "runtime",
    "timeout": "timeout",
    "wrong": "correctness",
}
ERRORS: dict[Status, str] = {
    "refused": "InvalidConfig",
    "compile": "CompilationFailedConfig",
    "runtime": "RuntimeFailedConfig",
    "timeout": "RuntimeFailedConfig",
    "wrong": "RuntimeFailedConfig",
}
"""A cache has three words for five ways to fail."""

PASSED_ON = ("compile_seconds",)
"""Facts that have a field of their own."""


def t4(tuning: Tuning) -> dict[str, Any]:
    """T4 results, schema 1.0.0 (github.com/odgaard/TuningSchema), times in milliseconds. What was
    run where, the strategy and the evidence of the times stand in the metadata."""
    return {
        "schema_version": T4_VERSION,
        "metadata": {
            "timeunit": "milliseconds",
            "about": tuning.about,
            "space": tuning.space,
            "evidence": tuning.evidence,
            "strategy": tuning.strategy,
            "seed": tuning.seed,
            "budget": tuning.budget,
            "taught_by": list(tuning.taught_by),
        },
        "results": [_result(trial) for trial in tuning.trials],
    }


def _result(trial: Trial) -> dict[str, Any]:
    """repeats runs were timed; their median is the one runtime that is kept."""
    ran = trial.status == "ok"
    time_ms = 1e3 * trial.seconds
    measured = {"spread": trial.spread, "repeats": trial.repeats} if ran else {}
    facts = {key: value for key, value in trial.facts.items() if key not in PASSED_ON}
    return {
        "configuration": trial.config,
        "objectives": ["time"],
        "times": {
            "compilation_time": 1e3 * trial.facts.get("compile_seconds", 0.0),
            "runtimes": [time_ms] if ran else [],
        },
        "invalidity": INVALIDITY[trial.status],
        "correctness": 0 if trial.status == "wrong" else 1,
        "measurements": [
            *([{"name": "time", "value": time_ms, "unit": "ms"}] if ran else []),
            *({"name": name, "value": v, "unit": ""} for name, v in {**measured, **facts}.items()),
            *([] if ran else [{"name": "reason", "value": trial.reason, "unit": ""}]),
        ],
    }


def kernel_tuner_cache(about: dict[str, str], trials: Sequence[Trial]) -> dict[str, Any]:
    """The trials as Kernel Tuner's cache, schema 1.1.0: its simulation mode can replay a whole
    space from it. Raises BadInput where there is nothing to write."""
    if not trials:
        raise BadInput("a cache needs at least one configuration that was tried")
    names = list(trials[0].config)
    return {
        "schema_version": CACHE_VERSION,
        "device_name": about.get("device") or about.get("gpu") or about.get("cpu") or "unknown",
        "kernel_name": about.get("kernel", "unknown"),
        "problem_size": about.get("problem") or about.get("work") or "unknown",
        "tune_params_keys": names,
        "tune_params": {
            name: list(dict.fromkeys(trial.config[name] for trial in trials)) for name in names
        },
        "objective": "time",
        "cache": {
            ",".join(str(trial.config[name]) for name in names): _entry(trial) for trial in trials
        },
    }


def _entry(trial: Trial) -> dict[str, Any]:
    time_ms = 1e3 * trial.seconds
    return {
        **trial.config,
        "time": time_ms if trial.status == "ok" else ERRORS[trial.status],
        "times": [time_ms] if trial.status == "ok" else [],
        "compile_time": 1e3 * trial.facts.get("compile_seconds", 0.0),
        "verification_time": 0,
        "benchmark_time": 0,
        "strategy_time": 0,
        "framework_time": 0,
        "timestamp": EPOCH,
    }
