"""The report: sections of words, tables and figures on one self-contained page."""

from .page import PAGE, RESERVED, fill, filling, html, markdown, results, write
from .section import Section, Table

__all__ = [
    "PAGE",
    "RESERVED",
    "Section",
    "Table",
    "fill",
    "filling",
    "html",
    "markdown",
    "results",
    "write",
]
