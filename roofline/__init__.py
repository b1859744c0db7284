"""How fast at best: operators of a step, the roofline, and why."""

from .bound import bound
from .efficiency import Efficiency
from .estimate import Estimate
from .fit import Fit, fit
from .operators import operators
from .table import Operator, OperatorTable

__all__ = [
    "Efficiency",
    "Estimate",
    "Fit",
    "Operator",
    "OperatorTable",
    "bound",
    "fit",
    "operators",
]
