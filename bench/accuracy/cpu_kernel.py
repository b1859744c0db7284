"""The experts' kernel on this CPU: a whole space measured, the model fitted on a few and scored on
the rest, and what tuning wins over the default.

    python bench/accuracy/cpu_kernel.py space SPACE.csv         every configuration of one shape
    python bench/accuracy/cpu_kernel.py unseen UNSEEN.csv       and of another
    python bench/accuracy/cpu_kernel.py sample SAMPLE.csv       a few of other shapes
    python bench/accuracy/cpu_kernel.py gains GAINS.csv         tuned, against the default
    python bench/accuracy/cpu_kernel.py fit SPACE.csv SAMPLE.csv
    python bench/accuracy/cpu_kernel.py draw UNSEEN.csv SAMPLE.csv GAINS.csv PICTURE.png

What `draw` shows as the whole space has had no part in the fit but for its rows in the sample.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import msgspec
import numpy as np

from moesaic.hardware.local import local_cpu
from moesaic.kernels.library.cpu_experts import CpuShape, default
from moesaic.kernels.library.cpu_layer import COLD, last_cache_bytes, rounds
from moesaic.kernels.prediction.cpu import COSTS, CpuCosts, bound_s, predict
from moesaic.kernels.prediction.cpu_fit import Measured, fit
from moesaic.kernels.runners.cpu import CpuRunner
from moesaic.kernels.search.tune import tune
from moesaic.measured.cpu_layer import SHAPES
from moesaic.sweeps.plots.style import save
from moesaic.sweeps.plots.tuned_cpu import Gain, MeasuredSpace, predicted_and_gains

WIDE, NARROW, SMALL = SHAPES
FITTED_SPACE, UNSEEN_SPACE = CpuShape(*WIDE, 32), CpuShape(*SMALL, 64)
SAMPLED = tuple(CpuShape(*s, t) for s, t in ((WIDE, 1), (NARROW, 16), (SMALL, 64), (SMALL, 256)))
TUNED = [CpuShape(*shape, tokens) for shape in (SMALL, NARROW, WIDE) for tokens in (64, 256, 1)]
SEEDS = (0, 1)
BUDGET, ALTERNATIONS = 30, 5
SAMPLE = 30
"""Configurations of each other shape; every second one is fitted, the rest scored."""
FITTED = 80
"""Configurations of the whole space that are fitted."""
Row = dict[str, object]


def space(shape: CpuShape) -> Iterator[Row]:
    runner = CpuRunner(shape, budget_s=0)
    for row in range(len(runner.space)):
        yield {**_sizes(shape), **runner.space.config(row), "seconds": runner(row).seconds}


def sample() -> Iterator[Row]:
    for i, shape in enumerate(SAMPLED):
        runner = CpuRunner(shape, budget_s=0)
        rows = np.random.default_rng(100 + i).choice(len(runner.space), SAMPLE, replace=False)
        for row in sorted(rows.tolist()):
            yield {**_sizes(shape), **runner.space.config(row), "seconds": runner(row).seconds}


def gains() -> Iterator[Row]:
    for shape in TUNED:
        runner = CpuRunner(shape, budget_s=0)
        base = runner.space.row(default(runner.cpu, shape))
        known = predict(runner.space, shape)
        for seed in SEEDS:
            best = tune(runner, "guided", BUDGET, seed, predicted=known.seconds).best
            assert best is not None
            winner = runner.space.row(best.config)
            pairs = [(runner(base), runner(winner)) for _ in range(ALTERNATIONS)]
            yield {
                **_sizes(shape),
                "seed": seed,
                **best.config,
                "default_s": np.median([a.seconds for a, _ in pairs]),
                "tuned_s": np.median([b.seconds for _, b in pairs]),
                "bound_s": known.bound_s,
                "speedup": np.median([a.seconds / b.seconds for a, b in pairs]),
                "speedup_elapsed": np.median(
                    [a.facts["elapsed_seconds"] / b.facts["elapsed_seconds"] for a, b in pairs]
                ),
            }


def fitted(whole: Measured, samples: list[Measured]) -> tuple[CpuCosts, np.ndarray]:
    """The costs, and which of the whole space they have seen."""
    seen = np.zeros(len(whole.configs), bool)
    seen[np.random.default_rng(1).choice(len(seen), FITTED, replace=False)] = True
    parts = [_part(whole, seen), *(_part(one, _even(one)) for one in samples)]
    return fit(parts, local_cpu(), CpuCosts()), seen


def show_fit(whole: Measured, samples: list[Measured]) -> None:
    costs, seen = fitted(whole, samples)
    print(costs)
    everything = []
    for one, kept in [(whole, ~seen), *((one, ~_even(one)) for one in samples)]:
        errors = _part(one, kept).errors(local_cpu(), costs)
        everything.append(np.abs(errors))
        off = np.abs(np.exp(errors) - 1)
        print(f"{one.shape}: {len(off)} unseen, MAPE {off.mean():.3f}, median {np.median(off):.3f}")
    print(f"80% within a factor of {np.exp(np.quantile(np.concatenate(everything), 0.8)):.3f}")


def draw(whole: Measured, samples: list[Measured], won: list[dict[str, str]], picture: str) -> None:
    cpu = local_cpu()
    fitted_here = [
        config
        for one in samples
        for config, even in zip(one.configs, _even(one), strict=True)
        if one.shape == whole.shape and even
    ]
    of = {key: np.array([one[key] for one in whole.configs]) for key in ("LAYOUT", "THREADS")}
    shown = MeasuredSpace(
        about=_name(msgspec.structs.asdict(whole.shape)),
        measured_s=whole.seconds,
        predicted_s=whole.seconds * np.exp(whole.errors(cpu, COSTS)),
        in_panels=of["LAYOUT"] == 1,
        threaded=of["THREADS"] > 1,
        fitted=np.array([config in fitted_here for config in whole.configs]),
        default=list(whole.configs).index(default(cpu, whole.shape)),
        bound_s=bound_s(whole.shape, whole.starts, cpu),
    )
    names: dict[str, list[float]] = {}
    for row in won:
        names.setdefault(_name(row), []).append(float(row["speedup"]))
    bars = [Gain(name=name, speedups=tuple(values)) for name, values in names.items()]
    save(predicted_and_gains(shown, bars), picture)
    print(shown.errors())


def read(path: str) -> list[dict[str, str]]:
    with Path(path).open(newline="") as stream:
        return list(csv.DictReader(stream))


def measured(rows: list[dict[str, str]]) -> list[Measured]:
    """One for each shape."""
    by_shape: dict[CpuShape, list[dict[str, str]]] = {}
    for row in rows:
        shape = CpuShape(*(int(row[name]) for name in CpuShape.__struct_fields__))
        by_shape.setdefault(shape, []).append(row)
    return [
        Measured(
            shape=shape,
            starts=rounds(shape, 0, COLD * last_cache_bytes()),
            configs=[{k: int(v) for k, v in row.items() if k.isupper()} for row in some],
            seconds=np.array([float(row["seconds"]) for row in some]),
        )
        for shape, some in by_shape.items()
    ]


def _name(sizes: Mapping[str, object]) -> str:
    return "{experts} of {hidden} x {inter}, top {top_k}, {tokens} tokens".format(**sizes)


def _sizes(shape: CpuShape) -> Row:
    return dict(msgspec.structs.asdict(shape))


def _part(whole: Measured, kept: np.ndarray) -> Measured:
    configs = [one for one, keep in zip(whole.configs, kept, strict=True) if keep]
    return msgspec.structs.replace(whole, configs=configs, seconds=whole.seconds[kept])


def _even(one: Measured) -> np.ndarray:
    return np.arange(len(one.configs)) % 2 == 0


def main(step: str, *paths: str) -> None:
    if step in ("fit", "draw"):
        (whole,), samples = measured(read(paths[0])), measured(read(paths[1]))
        if step == "fit":
            return show_fit(whole, samples)
        return draw(whole, samples, read(paths[2]), paths[3])
    steps: dict[str, Callable[[], Iterator[Row]]] = {
        "space": partial(space, FITTED_SPACE),
        "unseen": partial(space, UNSEEN_SPACE),
        "sample": sample,
        "gains": gains,
    }
    rows = steps[step]()
    with Path(paths[0]).open("w", newline="") as stream:
        for i, row in enumerate(rows):
            writer = csv.DictWriter(stream, list(row), lineterminator="\n")
            if i == 0:
                writer.writeheader()
            writer.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()})
            stream.flush()
    return None


if __name__ == "__main__":
    main(*sys.argv[1:])
