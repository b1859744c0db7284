"""Mutants: faults put into the kernels on purpose, and which check sees each of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from ...base.spec import build as spec_from
from ...base.spec import load_toml
from ..library import kernel
from .build import build
from .check import excess
from .execute import Fault, execute
from .parallel import in_threads

FOLDER = Path(__file__).parent.parent / "mutants"
ARCH, FP8_ARCH = "sm_80", "sm_89"


class SeededFault(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One change of a source: `old`, found once in file `at`, becomes `new`. missed: why no check
    sees it, of one that is no fault or that the executor cannot see."""

    kind: str
    at: str
    old: str
    new: str
    configs: tuple[str, ...]
    missed: str = ""


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    kernel: str
    fault: tuple[SeededFault, ...]


class Mutant(msgspec.Struct, frozen=True):
    """A seeded fault in one configuration of a kernel."""

    kernel: str
    config: str
    fault: SeededFault

    @property
    def change(self) -> str:
        """What became of what, in one line."""
        old, new = (" ".join(text.split()) for text in (self.fault.old, self.fault.new))
        return f"{old} -> {new or 'nothing'}"


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """by: the check that saw the mutant, nothing where none did. words: what it said."""

    mutant: Mutant
    by: str
    words: str

    @property
    def caught(self) -> bool:
        return bool(self.by)


def mutants() -> list[Mutant]:
    """All that are shipped, in the order of their files."""
    found = []
    for path in sorted(FOLDER.glob("*.toml")):
        file = spec_from(_File, load_toml(path), path)
        found += [Mutant(file.kernel, name, one) for one in file.fault for name in one.configs]
    return found


def trial(mutant: Mutant, seed: int = 0) -> Verdict:
    """Compiles the mutant and runs it on the kernel's shapes until a check sees it.

    Raises BadInput where nothing can be compiled, where the change does not fit the source, and for
    a mutant that does not compile: the compiler would see it, so it shows nothing.
    """
    original = kernel(mutant.kernel)
    changed = msgspec.structs.replace(
        original, changes={mutant.fault.at: (mutant.fault.old, mutant.fault.new)}
    )
    config = original.config(mutant.config)
    arch = FP8_ARCH if config.get("DTYPE") == 2 else ARCH
    made, right = build(changed, config, arch), build(original, config, arch)
    for name in original.serves(config):
        shape = original.shapes[name]
        problem, launch = original.problem(config, shape, seed), original.launch(config, shape)
        run = execute(made, launch, problem.arguments, seed=seed)
        if run.faults:
            return Verdict(mutant=mutant, by=_worst(run.faults).kind, words=str(_worst(run.faults)))
        for output, worst in excess(problem, run.outputs).items():
            if not worst <= 1:
                words = f"{name}: {output} is {worst:.3g} times its bound away"
                return Verdict(mutant=mutant, by="numbers", words=words)
        conflicts = run.counters.ldmatrix_conflicts
        least = execute(right, launch, problem.arguments, seed=seed).counters.ldmatrix_conflicts
        if conflicts > least:
            words = f"{name}: {conflicts} bank conflicts of ldmatrix instead of {least}"
            return Verdict(mutant=mutant, by="bank conflicts", words=words)
    return Verdict(mutant=mutant, by="", words=mutant.fault.missed)


def trials(
    chosen: Sequence[Mutant], seed: int = 0, workers: int | None = None
) -> Iterator[Verdict]:
    """The verdict on each mutant, in order and as soon as it is there."""
    return in_threads(lambda one: trial(one, seed), chosen, workers)


def _worst(faults: Sequence[Fault]) -> Fault:
    """A hang or a deadlock says most, then the first."""
    last = [one for one in faults if one.kind in ("hang", "deadlock")]
    return (last or list(faults))[0]
