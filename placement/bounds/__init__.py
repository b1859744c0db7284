"""What no placement can beat."""

from .hops import bound_hops, chance_cost, hop_cost
from .load import best_load_proof, load_proofs

__all__ = ["best_load_proof", "bound_hops", "chance_cost", "hop_cost", "load_proofs"]
