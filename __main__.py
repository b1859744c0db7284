"""Lets `python -m moesaic` stand for the `moesaic` command."""

import sys

from .cli.app import main

sys.exit(main())
