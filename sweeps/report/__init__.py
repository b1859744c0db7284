"""The report: sections of words, tables and figures on one self-contained page."""

from .page import html, markdown, write
from .section import Section, Table

__all__ = ["Section", "Table", "html", "markdown", "write"]
