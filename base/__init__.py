"""What every part would otherwise write again: faults, evidence, units, formats, files, specs."""

from .dtypes import DTYPES, NumberFormat, bytes_of, number_format
from .errors import BadInput, unknown
from .evidence import MARKS, MEANING, Evidence
from .spec import Count, Natural, NonNegative, Positive, Share, Spec

__all__ = [
    "DTYPES",
    "MARKS",
    "MEANING",
    "BadInput",
    "Count",
    "Evidence",
    "Natural",
    "NonNegative",
    "NumberFormat",
    "Positive",
    "Share",
    "Spec",
    "bytes_of",
    "number_format",
    "unknown",
]
