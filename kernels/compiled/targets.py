"""Targets: which configurations of which kernels, for which architectures, on which shapes."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

import msgspec

from ...base import BadInput, unknown
from ..library import KERNELS, Config, Kernel
from ..library import kernel as kernel_called
from .arches import number


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """name: of the configuration. shapes: names of those to check on, the usual one first."""

    kernel: Kernel
    name: str
    config: Config
    arch: str
    shapes: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.kernel.name}/{self.name} on {self.arch}"

    def on_shape(self, name: str) -> Target:
        """The same on one shape. Raises BadInput for one that is unknown or not served."""
        if name not in self.kernel.shapes:
            raise unknown(f"shape of {self.kernel.name}", name, self.kernel.shapes)
        for reason in self.kernel.refusals(self.config, self.kernel.shapes[name]):
            raise BadInput(reason, key=str(self))
        return msgspec.structs.replace(self, shapes=(name,))


def target(kernel: Kernel, config: Config | str, arch: str) -> Target:
    """One target, on every shape that its rules allow. Raises BadInput for a bad configuration."""
    values = kernel.config(config)
    return Target(
        kernel=kernel,
        name=label(kernel, values),
        config=values,
        arch=arch,
        shapes=tuple(kernel.serves(values)),
    )


def targets(words: Sequence[str], archs: Sequence[str]) -> list[Target]:
    """What the words name: `KERNEL` its registered configurations, `KERNEL/CONFIG` one of them,
    `KERNEL/PATTERN` (with `*`) several; no word stands for all kernels.

    A configuration is left out where a rule keeps it from the architecture, unless it was named.
    """
    found: list[Target] = []
    for arch in archs:
        known = number(arch)
        for word in words or KERNELS:
            name, slash, pattern = word.partition("/")
            kernel = kernel_called(name)
            if slash and not pattern:
                raise BadInput("needs a configuration after the slash, or *", value=word)
            if pattern and "*" not in pattern:
                found.append(target(kernel, pattern, arch))
                continue
            named = [n for n in kernel.configs if fnmatchcase(n, pattern or "*")]
            if not named:
                raise unknown(f"configuration of {name}", pattern, kernel.configs)
            there = kernel.registered(known)
            found += [target(kernel, n, arch) for n in named if n in there]
    if not found:
        raise BadInput(f"no configuration of {' or '.join(words)} is for {' or '.join(archs)}")
    return list({str(one): one for one in found}.values())


def label(kernel: Kernel, values: Config) -> str:
    """The registered name of a configuration, or its values."""
    for name, registered in kernel.configs.items():
        if dict(registered) == dict(values):
            return name
    return " ".join(f"{name}={value}" for name, value in values.items())
