"""Constants: what a kernel model cannot derive from the data sheet, each within physical limits."""

from __future__ import annotations

import functools

import msgspec

from ...base import Spec


class Constants(Spec, frozen=True, kw_only=True, tag_field="kernel"):
    """Base of the constants of each kind of kernel; in a file, `kernel` names the kind.

    Numbers may be fitted and state their range; choices among names are tried one by one.
    """


@functools.cache
def limits(kind: type[Constants]) -> dict[str, tuple[float, float]]:
    """The numbers that a fit may move and the range of each, in the order of the struct."""
    info = msgspec.inspect.type_info(kind)
    assert isinstance(info, msgspec.inspect.StructType)
    return {
        field.name: (float(field.type.ge or 0.01), float(field.type.le or 1.0))
        for field in info.fields
        if isinstance(field.type, msgspec.inspect.FloatType)
    }
