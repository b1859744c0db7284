"""Runs every benchmark beside it and writes a table of ratios.

A benchmark is a module with `main() -> list[dict]`: rows with name, value, unit, peer (what it is
compared with in the same run), peer_value and ratio (above 1: better than the peer).
"""

from __future__ import annotations

import argparse
import datetime
import importlib.util
import platform
from pathlib import Path

from moesaic.base.files import write_text
from moesaic.hardware.load import device

HERE = Path(__file__).parent


def rows_of(path: Path) -> list[dict[str, object]]:
    """The rows of one benchmark."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return list(module.main())


def page(rows: list[dict[str, object]]) -> str:
    """The table with the day and the machine."""
    local = device("local")
    lines = [
        "# Benchmarks",
        "",
        f"{datetime.date.today().isoformat()}, {platform.machine()}, "
        f"{getattr(local, 'cores', '?')} cores, Python {platform.python_version()}. "
        "Written by `make bench`.",
        "",
        "Absolute times on a shared machine are noisy: read the ratios. "
        "A ratio above 1 is better than the peer.",
        "",
        "| what | value | against | its value | ratio |",
        "| --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {row['name']} | {row['value']:.4g} {row['unit']} | {row['peer']} "
        f"| {row['peer_value']:.4g} {row['unit']} | {row['ratio']:.2f} |"
        for row in rows
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("names", nargs="*", help="only these benchmarks")
    asked = parser.parse_args()
    rows: list[dict[str, object]] = []
    for path in sorted(HERE.glob("*.py")):
        if path.name != "run.py" and (not asked.names or path.stem in asked.names):
            print(f"{path.stem} ...", flush=True)
            rows += rows_of(path)
    write_text(asked.out, page(rows))
    print(f"wrote {asked.out}")


if __name__ == "__main__":
    main()
