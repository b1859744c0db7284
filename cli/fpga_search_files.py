"""What a search of FPGA designs reads and writes, checked before anything is computed."""

from __future__ import annotations

from pathlib import Path

import msgspec

from ..base import BadInput
from ..base.files import check_writable


class Files(msgspec.Struct, frozen=True, kw_only=True):
    """counts: recorded routing; fronts: the JSON to write; png: the figure to draw."""

    counts: Path | None
    fronts: Path | None
    png: Path | None

    @classmethod
    def of(cls, counts: str | None, part: str | None, out: str | None, png: str | None) -> Files:
        """Of the words of a command, which names a folder for the fronts; BadInput for a file that
        cannot be written there."""
        if part is not None and counts is None:
            raise BadInput("goes with --counts", key="--part", value=part)
        folder, figure = _path("--out", out), _path("--png", png)
        if figure is not None and figure.suffix != ".png":
            raise BadInput("must end in .png", key="--png", value=png)
        fronts = None if folder is None else folder / "fronts.json"
        for key, path in (("--out", fronts), ("--png", figure)):
            if path is not None:
                check_writable(path, key)
        return cls(counts=_path("--counts", counts), fronts=fronts, png=figure)


def _path(key: str, text: str | None) -> Path | None:
    if text is not None and not text.strip():
        raise BadInput("must not be empty: name a path", key=key)
    return None if text is None else Path(text)
