"""Space: the configurations that a kernel can have, as a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base import BadInput, unknown
from ..library.kernel import Constraint

Value = int | float | str
Values = Mapping[str, Value]

MOST_CONFIGS = 2_000_000
MOST_VALUES = 32_767
"""Of a parameter: places are 16-bit numbers."""


class Space:
    """Every configuration once, in a fixed order; the number of one is its row.

    parameters: allowed values of each by name, ascending. table: `[configs, parameters]`, the place
    of each value among the allowed ones.
    """

    def __init__(
        self, name: str, parameters: Mapping[str, Sequence[Value]], table: NDArray[Any]
    ) -> None:
        self.name = name
        self.parameters = {key: tuple(values) for key, values in parameters.items()}
        self.table = np.ascontiguousarray(table, np.int16)
        if not len(self.table):
            raise BadInput("holds no configuration", key=name)

    @classmethod
    def of(cls, name: str, configs: Iterable[Values]) -> Space:
        """The space that holds just these. Raises BadInput where they differ in their names."""
        rows = list(configs)
        names = list(rows[0]) if rows else []
        for row in rows:
            if list(row) != names:
                raise BadInput("every configuration needs the same parameters", key=name, value=row)
        allowed = {key: sorted({row[key] for row in rows}, key=_order) for key in names}
        for key, values in allowed.items():
            if len(values) > MOST_VALUES:
                raise BadInput(f"{key} has {len(values)} values; at most {MOST_VALUES}", key=name)
        places = {key: {v: i for i, v in enumerate(values)} for key, values in allowed.items()}
        table = np.array([[places[key][row[key]] for key in names] for row in rows], np.int16)
        return cls(name, allowed, table.reshape(len(rows), len(names)))

    @classmethod
    def within(
        cls,
        name: str,
        parameters: Mapping[str, Sequence[int]],
        constraints: Sequence[Constraint],
        given: Mapping[str, int],
    ) -> Space:
        """All that the constraints allow. given: sizes of the shape and what else they name.

        Raises BadInput, naming the constraint, where one leaves nothing.
        """
        count = int(np.prod([len(values) for values in parameters.values()], dtype=object))
        if count > MOST_CONFIGS:
            raise BadInput(f"would try {count} configurations; at most {MOST_CONFIGS}", key=name)
        known, left = {*given}, list(constraints)
        rows: list[dict[str, int]] = [{}]
        for parameter, values in parameters.items():
            rows = [{**row, parameter: value} for row in rows for value in values]
            known.add(parameter)
            # A rule is asked as soon as it can be: the fewer rows, the less is left to do.
            for rule in [rule for rule in left if rule.names() <= known]:
                left.remove(rule)
                rows = [row for row in rows if rule.holds({**given, **row})]
                if not rows:
                    raise BadInput(
                        f"no configuration is left by the rule {rule.rule}: {rule.reason}", key=name
                    )
        return cls.of(name, rows)

    def __len__(self) -> int:
        return len(self.table)

    def __contains__(self, config: Values) -> bool:
        try:
            self.row(config)
        except BadInput:
            return False
        return True

    def config(self, row: int) -> dict[str, Any]:
        """The values of one configuration by parameter."""
        places = self.table[row].tolist()
        return {
            name: values[place]
            for (name, values), place in zip(self.parameters.items(), places, strict=True)
        }

    def row(self, config: Values) -> int:
        """The number of a configuration. Raises BadInput for one that is not in the space."""
        for name in config:
            if name not in self.parameters:
                raise unknown(f"parameter of {self.name}", name, self.parameters)
        try:
            places = [values.index(config[name]) for name, values in self.parameters.items()]
            return self._rows[np.array(places, np.int16).tobytes()]
        except (KeyError, ValueError):
            raise BadInput("is not in this space", key=self.name, value=dict(config)) from None

    @cached_property
    def _rows(self) -> dict[bytes, int]:
        return {places.tobytes(): row for row, places in enumerate(self.table)}


def _order(value: Value) -> tuple[bool, float, str]:
    """Numbers by size, before words."""
    if isinstance(value, str):
        return True, 0.0, value
    return False, float(value), ""
