"""What is to be tuned, with all that is known of it before the first measurement."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import msgspec
import numpy as np
from numpy.typing import NDArray

from ..base import BadInput
from ..hardware import AnyDevice
from ..hardware.load import device, names
from ..hardware.local import local_cpu
from ..measured.cpu_layer import SHAPES, Shape
from ..workload import Experts, MoEModel
from .library.cpu_experts import CpuShape, default
from .library.grouped_gemm import GROUPED_GEMM
from .library.part import Part, Product, part_of
from .prediction.cpu import predict
from .prediction.predicted_part import PredictedPart, space_of
from .prediction.surveys import shipped, shipped_gpus
from .runners.cpu import CpuRunner
from .runners.gpu import local_gpu
from .runners.gpu_part import GpuRunner
from .runners.isolated import Isolated
from .search import Teacher, Tuning
from .search.runner import Runner, Trial

LIMIT_S = 60.0
MOST_TEACHERS = 3
FINALISTS = 3
ROUNDS = 3
OTHER_FORMS = {"nvl", "laptop", "d", "mig"}
"""In the name of a GPU whose clocks, memory or share of the chip are not those of the catalogue."""


class Finals(msgspec.Struct, frozen=True, kw_only=True):
    """What a search came to: its winner, and the default where there is one, each the median of so
    many rounds."""

    winner: Trial
    default: Trial | None
    rounds: int


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """What `search.tune` is given. strategy: what suits. predicted: seconds by
    a model `[configs]`, None where there is none. teachers: what was measured of like work, the
    most alike first. bound_s: no machine with these peaks is faster. default: what a kernel that
    nobody tuned would use, where it serves. recorded: measured before on just this GPU
    (measured-published), by the values of the parameters in their order.
    """

    name: str
    strategy: str
    runner: Runner
    predicted: NDArray[np.float64] | None
    teachers: tuple[Teacher, ...] = ()
    bound_s: float | None = None
    default: dict[str, int] | None = None
    recorded: dict[tuple[int, ...], float] = {}

    def finals(self, done: Tuning) -> Finals:
        """The winner beside the default.

        Of many noisy times the least is too low. Measured ones are held again: the best FINALISTS
        and the default run in turn, ROUNDS times, and their medians decide. Predictions stay.
        Raises BadInput where none ran.
        """
        space, best = self.runner.space, done.best
        default = space.row(self.default) if self.default is not None else None
        if done.evidence != "measured-here":
            untuned = self.runner(default) if default is not None else None
            return Finals(winner=best, default=untuned, rounds=1)
        ran = sorted((t for t in done.trials if t.status == "ok"), key=lambda t: t.seconds)
        finalists = [space.row(trial.config) for trial in ran[:FINALISTS]]
        rows = finalists if default is None or default in finalists else [*finalists, default]
        rounds = [{row: self.runner(row) for row in rows} for _ in range(ROUNDS)]
        median = {
            row: sorted((one[row] for one in rounds), key=lambda t: t.seconds)[ROUNDS // 2]
            for row in rows
        }
        return Finals(
            winner=min((median[row] for row in finalists), key=lambda t: t.seconds),
            default=median[default] if default is not None else None,
            rounds=ROUNDS,
        )

    def expect_ranking(self, budget: int) -> None:
        """Lets a prediction work ahead on the first `budget` of its own ranking."""
        if isinstance(self.runner, PredictedPart) and self.predicted is not None:
            self.runner.expect(np.argsort(self.predicted, kind="stable")[:budget].tolist())

    def close(self) -> None:
        if isinstance(self.runner, Isolated | PredictedPart):
            self.runner.close()


def on_gpu(
    kernel: str,
    model: MoEModel,
    product: Product,
    tokens: int,
    on: str,
    *,
    ep: int = 1,
    seed: int = 0,
) -> Work:
    """on: a GPU of the catalogue, which is predicted, or `local`, which is measured.

    Raises BadInput where the model does not suit, no configuration serves the shape, there is no
    GPU, or the kernel has no model of its time.
    """
    part = part_of(model, product, tokens, kernel=kernel.replace("_", "-"), ep=ep, seed=seed)
    grouped = part.kernel is GROUPED_GEMM
    predicting: PredictedPart | None = None
    runner: Runner
    if on != "local":
        known: AnyDevice | None = device(on)
        runner = predicting = PredictedPart(part, device(on))
    else:
        here = local_gpu()
        space, known = space_of(part, here.arch), catalogue_gpu(here.name)
        if known and grouped:
            predicting = PredictedPart(part, known, space)
        runner = Isolated(partial(GpuRunner, part, space, seed), LIMIT_S)
    default = default_of(part) if grouped else None
    return Work(
        name=f"{part.kernel.name}, {part.name} on {runner.about['gpu']}",
        strategy="guided" if on == "local" else "model",
        runner=runner,
        predicted=predicting.ranked() if predicting else None,
        teachers=tuple(teachers(part)) if grouped and on == "local" else (),
        bound_s=bound_s(part, known) if known else None,
        default=default if default and default in runner.space else None,
        recorded=recorded_s(part, known.name) if known else {},
    )


def on_cpu(model: MoEModel | None, tokens: int, *, seed: int = 0) -> Work:
    """The experts of a layer on the processor of this machine, measured; without a model those of
    measured.cpu_layer's many small ones. Raises BadInput for a model without gated experts, one too
    large, and where no compiler is."""
    sizes = SHAPES[-1]
    if model is not None:
        experts = next((one.ffn for one in model.layers if isinstance(one.ffn, Experts)), None)
        if experts is None or not experts.gated:
            raise BadInput("has no layer of gated experts", key=model.name)
        sizes = Shape(model.hidden, experts.inter, experts.count, experts.top_k)
    shape = CpuShape(*sizes, tokens)
    runner = Isolated(partial(CpuRunner, shape, seed), LIMIT_S)
    foreseen = predict(runner.space, shape, seed)
    return Work(
        name=f"{runner.about['kernel']}, {runner.about['shape']}",
        strategy="guided",
        runner=runner,
        predicted=foreseen.seconds,
        bound_s=foreseen.bound_s,
        default=default(local_cpu(), shape),
    )


def bound_s(part: Part, gpu: AnyDevice) -> float:
    """derived: the longer of the products at the tensor peak and of moving weights, rows and
    results once."""
    shape = part.shape
    moved = part.weight_bytes + 2 * sum(shape.rows) * (shape.depth + shape.columns)
    return max(part.flops / gpu.peak("bf16"), moved / gpu.memory.bandwidth_bytes_per_s)


def default_of(part: Part) -> dict[str, int]:
    """The free macros of the registered 64 x 64 or 64 x 128 tile, the middle of the range: what one
    kernel for all batches would take."""
    name = "gate-up-64x64" if part.fixed["FUSE_SWIGLU"] else "down-64x128"
    return {k: v for k, v in GROUPED_GEMM.configs[name].items() if k not in part.fixed}


def teachers(part: Part, without: Iterable[str] = ()) -> list[Teacher]:
    """What the shipped surveys hold of the same product, by likeness of the sizes.

    without: names of GPUs and of parts that must not teach, as where they are what is scored.
    """
    left_out = set(without)
    found: list[tuple[float, Teacher]] = []
    for gpu in shipped_gpus():
        survey = shipped(gpu)
        for place, other in enumerate(survey.parts):
            if other.fixed == part.fixed and not {gpu, other.name} & left_out:
                found.append((_apart(part, other), survey.teacher(place)))
    found.sort(key=lambda pair: pair[0])
    return [teacher for _, teacher in found[:MOST_TEACHERS]]


def recorded_s(part: Part, gpu: str) -> dict[tuple[int, ...], float]:
    """Measured seconds of just this part on this GPU, by the values of the free macros in the order
    of the space; nothing where the part was not surveyed (measured-published)."""
    if part.kernel is not GROUPED_GEMM or gpu not in shipped_gpus():
        return {}
    survey = shipped(gpu)
    for place, other in enumerate(survey.parts):
        if other.name == part.name and other.shape == part.shape:
            free = [name for name in GROUPED_GEMM.parameters if name not in part.fixed]
            return {
                tuple(survey.configs[row][name] for name in free): float(survey.seconds[row])
                for row in survey.rows_of(place)
                if np.isfinite(survey.seconds[row])
            }
    return {}


def catalogue_gpu(name: str) -> AnyDevice | None:
    """The catalogue's GPU that calls itself `name`, such as 'NVIDIA H100 80GB HBM3'; None where
    it is not there, which holds for other forms of a known chip as well."""
    words = set(name.lower().replace("-", " ").split())
    if words & OTHER_FORMS:
        return None
    for known in names("gpu"):
        wanted = set(known.removeprefix("rtx-").split("-")) - {"sxm"}
        if wanted <= words and ("pcie" in wanted) == ("pcie" in words):
            return device(known)
    return None


def _apart(part: Part, other: Part) -> float:
    """How unlike two parts are: by rows of a touched expert above all, then by their sizes."""

    def figures(one: Part) -> NDArray[np.float64]:
        shape = one.shape
        each = sum(shape.rows) / one.touched
        return np.log([each**2, one.touched, shape.depth, shape.columns])

    return float(np.abs(figures(part) - figures(other)).sum())
