"""Where experts live: problem, methods, bounds, certificates, and the files that engines load."""

from .objective import MEASURES, score
from .placement import Certificate, Placement, Proof
from .problem import Problem
from .solvers import METHODS, Found, Method, solve
from .verify import Verified, verify

__all__ = [
    "MEASURES",
    "METHODS",
    "Certificate",
    "Found",
    "Method",
    "Placement",
    "Problem",
    "Proof",
    "Verified",
    "score",
    "solve",
    "verify",
]
