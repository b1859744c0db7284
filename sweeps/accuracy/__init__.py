"""Predictions held against measurements: cases, models, signed errors."""

from .compare import Comparison, compare
from .errors import ErrorRow, errors
from .predict import MODELS

__all__ = ["MODELS", "Comparison", "ErrorRow", "compare", "errors"]
