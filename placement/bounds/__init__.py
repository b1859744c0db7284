"""What no placement can beat."""

from .load import best_load_proof, load_proofs

__all__ = ["best_load_proof", "load_proofs"]
