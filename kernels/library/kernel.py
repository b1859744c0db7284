"""Kernel: a CUDA source with macro parameters, their limits as data, and what it computes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from ...base import BadInput, unknown

Config = Mapping[str, int]
"""A value for each parameter of a kernel; it becomes the macros of the build."""


class Constraint(msgspec.Struct, frozen=True):
    """A rule over parameters and sizes of the shape, in Python's arithmetic, and its reason."""

    rule: str
    reason: str

    def names(self) -> frozenset[str]:
        return frozenset(compile(self.rule, "<rule>", "eval").co_names)

    def holds(self, values: Mapping[str, int]) -> bool:
        # The rules are this package's own text; no user's text comes here.
        return bool(eval(self.rule, {"__builtins__": {}}, dict(values)))


class Launch(msgspec.Struct, frozen=True):
    """How a configuration is started: blocks in x, y, z; threads; dynamic shared memory."""

    grid: tuple[int, int, int]
    threads: int
    shared_bytes: int


class Kernel(msgspec.Struct, frozen=True, kw_only=True):
    """One kernel of the library.

    source: the file in kernels/cuda. entry: its function. parameters: allowed values by macro.
    configs: the registered ones by name. start: (config, shape) -> Launch; shape None stands for
    one block, which is enough for threads and shared memory. sizes: shape -> the numbers that the
    rules name.
    reference: inputs by name -> float64 output, the meaning of the kernel.
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
    reference: Callable[..., Any]

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

    def refusals(self, config: Config, shape: Any = None) -> list[str]:
        """Why the configuration cannot be, or cannot serve the shape: nothing when it can."""
        values = {**config, **(self.sizes(shape) if shape is not None else {})}
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
        return {
            name: (folder / name).read_text(encoding="utf-8")
            for name in (self.source, *self.headers)
        }


def _named(rule: Constraint, values: Mapping[str, int]) -> str:
    return ", ".join(f"{name} = {values[name]}" for name in sorted(rule.names()))
