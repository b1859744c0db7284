"""Where experts live: problem, methods, bounds, certificates, and the files that engines load."""

from .objective import PRICES, score
from .placement import Certificate, HopCertificate, HopProof, Hops, Placement, Proof
from .problem import Problem, Weights
from .solvers import METHODS, Found, Method, relaxed_caps, solve
from .solvers.split import SPLITS, Split, split
from .uneven import Uneven
from .verify import Verified, verify

__all__ = [
    "METHODS",
    "PRICES",
    "SPLITS",
    "Certificate",
    "Found",
    "HopCertificate",
    "HopProof",
    "Hops",
    "Method",
    "Placement",
    "Problem",
    "Proof",
    "Split",
    "Uneven",
    "Verified",
    "Weights",
    "relaxed_caps",
    "score",
    "solve",
    "split",
    "verify",
]
