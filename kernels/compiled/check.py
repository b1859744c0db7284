"""Check: a target built, gated, run on problems small and nasty, and held against float64."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...base import BadInput
from ..library import Launch
from ..library.kernel import Problem
from .build import Build, build
from .compiler import load_nvrtc
from .execute import Fault, execute
from .gate import gate
from .parallel import in_threads
from .targets import Target

Word = Literal["right", "wrong", "faulty", "refused"]


class Outcome(Protocol):
    """What a run leaves: the arrays by name, and what it must not have done."""

    @property
    def outputs(self) -> Mapping[str, NDArray[Any]]: ...
    @property
    def faults(self) -> tuple[Fault, ...]: ...


Runner = Callable[[Build, Launch, Mapping[str, NDArray[Any] | np.generic], int], Outcome]


class Shaped(msgspec.Struct, frozen=True, kw_only=True):
    """One shape. excess: of each output, its worst error over the bound; more than 1 is wrong."""

    shape: str
    excess: dict[str, float]
    faults: tuple[Fault, ...]


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict on one target.

    right: every output of every shape is within its bound, and nothing was done that must not be.
    wrong: an output is not. faulty: it read what was never written, raced, hung, ... refused: it
    does not build or cannot be launched. reason: of what is not right, in one sentence. Where it
    ran on a GPU, by shape: seconds of one launch (measured-here), and differing, the numbers whose
    bits are not those that the executor makes.
    """

    kernel: str
    config: str
    arch: str
    verdict: Word
    reason: str = ""
    cubin_hash: str = ""
    warnings: tuple[str, ...] = ()
    shapes: tuple[Shaped, ...] = ()
    seconds: dict[str, float] = {}
    differing: dict[str, int] = {}

    @property
    def excess(self) -> float:
        """The worst of all shapes; 0 where nothing ran."""
        return max((e for one in self.shapes for e in one.excess.values()), default=0.0)


def on_cpu(
    build: Build, launch: Launch, arguments: Mapping[str, NDArray[Any] | np.generic], seed: int
) -> Outcome:
    return execute(build, launch, arguments, seed=seed)


def check(target: Target, seed: int = 0, run: Runner = on_cpu) -> Checked:
    """Checks one target on each of its shapes; what goes wrong is in the verdict.

    Raises NoCompiler where nothing can be compiled at all.
    """
    load_nvrtc()
    if not target.shapes:
        return _checked(target, "refused", "serves none of the kernel's shapes")
    try:
        made = build(target.kernel, target.config, target.arch)
        verdict = gate(made)
        if verdict.refusals:
            return _checked(target, "refused", "; ".join(verdict.refusals), made=made)
        shapes = list(_check_shapes(target, made, seed, run))
    except BadInput as fault:
        return _checked(target, "refused", str(fault))
    word, reason = _verdict(shapes)
    return _checked(target, word, reason, made=made, shapes=tuple(shapes), words=verdict.warnings)


def check_all(
    targets: Sequence[Target], seed: int = 0, workers: int | None = None
) -> Iterator[Checked]:
    """The verdict on each target on the CPU, in order and as soon as it is there."""
    return in_threads(lambda one: check(one, seed), targets, workers)


def excess(problem: Problem, outputs: Mapping[str, NDArray[Any]]) -> dict[str, float]:
    """Of each output, its worst error over the bound."""
    return {name: wanted.excess(outputs[name]) for name, wanted in problem.expected.items()}


def _check_shapes(target: Target, made: Build, seed: int, run: Runner) -> Iterator[Shaped]:
    """Each shape, up to one that hangs: the others would, each for as long."""
    for name in target.shapes:
        shape = target.kernel.shapes[name]
        problem = target.kernel.problem(target.config, shape, seed)
        launch = target.kernel.launch(target.config, shape)
        found = run(made, launch, problem.arguments, seed)
        yield Shaped(shape=name, excess=excess(problem, found.outputs), faults=found.faults)
        if any(fault.kind == "hang" for fault in found.faults):
            return


def _verdict(shapes: Sequence[Shaped]) -> tuple[Word, str]:
    for one in shapes:
        if one.faults:
            return "faulty", f"{one.shape}: {one.faults[0]}"
    for one in shapes:
        for name, worst in one.excess.items():
            if not worst <= 1:
                return "wrong", f"{one.shape}: {name} is {worst:.3g} times its bound away"
    return "right", ""


def _checked(
    target: Target,
    word: Word,
    reason: str,
    made: Build | None = None,
    shapes: tuple[Shaped, ...] = (),
    words: tuple[str, ...] = (),
) -> Checked:
    return Checked(
        kernel=target.kernel.name,
        config=target.name,
        arch=target.arch,
        verdict=word,
        reason=reason,
        cubin_hash=made.cubin_hash if made else "",
        warnings=words,
        shapes=shapes,
    )
