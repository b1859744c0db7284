"""Kernel: a CUDA source with macro parameters, their limits as data, and what it computes."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from types import CodeType
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...base import BadInput, unknown

Config = Mapping[str, int]
"""A value for each parameter of a kernel; it becomes the macros of the build."""


class Constraint(msgspec.Struct, frozen=True):
    """A rule over parameters and sizes of the shape, in Python's arithmetic, and its reason."""

    rule: str
    reason: str

    def names(self) -> frozenset[str]:
        return frozenset(_code(self.rule).co_names)

    def holds(self, values: Mapping[str, int]) -> bool:
        # The rules are this package's own text; no user's text comes here.
        return bool(eval(_code(self.rule), {"__builtins__": {}}, dict(values)))


@functools.cache
def _code(rule: str) -> CodeType:
    return compile(rule, "<rule>", "eval")


class Launch(msgspec.Struct, frozen=True):
    """How a configuration is started: blocks in x, y, z; threads; dynamic shared memory."""

    grid: tuple[int, int, int]
    threads: int
    shared_bytes: int


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """What an output must hold. bound: the largest error allowed of each element, derived from the
    number formats; 0 where it must be equal. values: the stored array -> the numbers it stands for.
    """

    value: NDArray[Any]
    bound: NDArray[np.float64]
    values: Callable[[NDArray[Any]], NDArray[Any]]

    def excess(self, stored: NDArray[Any]) -> float:
        """The worst error over its bound: at most 1 where the output is right, inf where an
        element is not a number or an exact one differs."""
        error = np.abs(self.values(stored).astype(np.float64) - self.value)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(error == 0, 0.0, error / self.bound)
        return float(np.nan_to_num(ratio, nan=np.inf, posinf=np.inf).max(initial=0.0))


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """One launch and what it must give.

    arguments: in the order of the CUDA parameters; an array goes by pointer, a numpy scalar by
    value. Outputs are arrays among them, filled with what cannot be taken for a result.
    multiply_adds: of the matrix products that it asks for, without padding.
    """

    shape: Any
    arguments: Mapping[str, NDArray[Any] | np.generic]
    expected: Mapping[str, Expected]
    multiply_adds: int = 0


class Kernel(msgspec.Struct, frozen=True, kw_only=True):
    """One kernel of the library.

    source: the file in kernels/cuda. entry: its function. parameters: allowed values by macro.
    configs: the registered ones by name. start: (config, shape) -> Launch; shape None stands for
    one block, which is enough for threads and shared memory. sizes: shape -> the numbers that the
    rules name; `ARCH` in a rule is the architecture's number, such as 90.
    shapes: small ones to check on, the usual one first. problem: (config, shape, seed) -> inputs
    and the float64 reference's outputs, the meaning of the kernel. changes: by file what is found
    there once and becomes something else, such as a fault put in on purpose.
    """

    name: str
    does: str
    source: str
    entry: str
    headers: tuple[str, ...]
    parameters: Mapping[str, tuple[int, ...]]
    constraints: tuple[Constraint, ...]
    configs: Mapping[str, Config]
    start: Callable[[Config, Any], Launch]
    sizes: Callable[[Any], dict[str, int]]
    shapes: Mapping[str, Any]
    problem: Callable[[Config, Any, int], Problem]
    changes: Mapping[str, tuple[str, str]] = {}

    def config(self, values: Mapping[str, int] | str) -> dict[str, int]:
        """A checked configuration: a registered name, or a value for each parameter.

        Raises BadInput for an unknown name or value and for the first rule that it breaks.
        """
        if isinstance(values, str):
            if values not in self.configs:
                raise unknown(f"configuration of {self.name}", values, self.configs)
            values = self.configs[values]
        for name in values:
            if name not in self.parameters:
                raise unknown(f"parameter of {self.name}", name, self.parameters)
        for name, allowed in self.parameters.items():
            if values.get(name) not in allowed:
                raise BadInput(
                    f"must be one of {', '.join(map(str, allowed))}",
                    key=name,
                    value=values.get(name, "nothing"),
                )
        for reason in self.refusals(values):
            raise BadInput(reason, key=self.name)
        return dict(values)

    def registered(self, arch: int) -> dict[str, Config]:
        """The registered configurations that the architecture, such as 90, can have."""
        return {n: c for n, c in self.configs.items() if not self.refusals(c, arch=arch)}

    def serves(self, config: Config) -> list[str]:
        """The names of the shapes to check on that the configuration can serve."""
        return [name for name, shape in self.shapes.items() if not self.refusals(config, shape)]

    def refusals(self, config: Config, shape: Any = None, arch: int | None = None) -> list[str]:
        """Why the configuration cannot be, or cannot serve the shape: nothing when it can."""
        values = {**config, **(self.sizes(shape) if shape is not None else {})}
        if arch is not None:
            values["ARCH"] = arch
        return [
            f"{rule.reason}: {rule.rule} does not hold for {_named(rule, values)}"
            for rule in self.constraints
            if rule.names() <= values.keys() and not rule.holds(values)
        ]

    def launch(self, config: Config, shape: Any = None) -> Launch:
        """Grid, threads and shared memory; raises BadInput for a shape that it cannot serve."""
        for reason in self.refusals(config, shape):
            raise BadInput(reason, key=self.name)
        return self.start(config, shape)

    def texts(self) -> dict[str, str]:
        """The source and its headers by file name."""
        folder = Path(__file__).parent.parent / "cuda"
        texts = {
            name: (folder / name).read_text(encoding="utf-8")
            for name in (self.source, *self.headers)
        }
        for name, (old, new) in self.changes.items():
            if texts[name].count(old) != 1:
                raise BadInput("must be there once to be changed", file=name, value=old)
            texts[name] = texts[name].replace(old, new)
        return texts


def _named(rule: Constraint, values: Mapping[str, int]) -> str:
    return ", ".join(f"{name} = {values[name]}" for name in sorted(rule.names()))
