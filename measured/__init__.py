"""What was really measured: published tables, a user's own, and this CPU."""

from .clock import Timing, time_s
from .importing import import_table
from .measurements import Measurements, Provenance
from .tables import kinds, load, systems

__all__ = [
    "Measurements",
    "Provenance",
    "Timing",
    "import_table",
    "kinds",
    "load",
    "systems",
    "time_s",
]
