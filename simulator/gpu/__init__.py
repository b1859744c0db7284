"""GPU kernels by their tiles: what a grouped GEMM takes beyond the roofline, and why."""

from .constants import PRIOR, Constants, Fitted, load_fitted, shipped
from .experts import TERMS, ExpertLayer, layer_terms
from .machine import Machine
from .tiles import TILE_ROWS, ExpertLoad, even_load, every_slot, load_of

__all__ = [
    "PRIOR",
    "TERMS",
    "TILE_ROWS",
    "Constants",
    "ExpertLayer",
    "ExpertLoad",
    "Fitted",
    "Machine",
    "even_load",
    "every_slot",
    "layer_terms",
    "load_fitted",
    "load_of",
    "shipped",
]
