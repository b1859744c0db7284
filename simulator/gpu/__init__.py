"""GPU kernels by their tiles: what each takes beyond the roofline, and why."""

from .constants import Constants, limits
from .experts import ExpertCall, ExpertConstants, expert_terms
from .fitted import Fitted, load_fitted, shipped
from .kernels import KERNELS, AnyConstants
from .machine import Machine
from .tiles import TILE_ROWS, ExpertLoad, even_load, every_slot, load_of

__all__ = [
    "KERNELS",
    "TILE_ROWS",
    "AnyConstants",
    "Constants",
    "ExpertCall",
    "ExpertConstants",
    "ExpertLoad",
    "Fitted",
    "Machine",
    "even_load",
    "every_slot",
    "expert_terms",
    "limits",
    "load_fitted",
    "load_of",
    "shipped",
]
