"""Sphinx settings of the documentation site."""

import moesaic

project = "Moesaic"
author = "The Moesaic authors"
copyright = "The Moesaic authors"
version = release = moesaic.__version__

extensions = ["myst_parser"]
myst_enable_extensions = ["dollarmath", "deflist"]
myst_heading_anchors = 3
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "Moesaic"
