"""Every part stands in every list: a forgotten one would import here and lack in the wheel."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

import moesaic

ROOT = Path(__file__).parents[1]
CONFIG = tomllib.loads((ROOT / "pyproject.toml").read_text())
PARTS = {path.parent.name for path in ROOT.glob("*/__init__.py")}


def test_every_part_is_in_the_wheel():
    mapped = set(CONFIG["tool"]["scikit-build"]["wheel"]["packages"].values())
    modules = {path.name for path in ROOT.glob("*.py")}
    assert mapped >= PARTS | modules


def test_every_mapped_name_is_its_own_path():
    mapping = CONFIG["tool"]["scikit-build"]["wheel"]["packages"]
    assert all(
        name == f"moesaic/{path}" and (ROOT / path).exists() for name, path in mapping.items()
    )


def test_every_part_is_type_checked():
    assert set(CONFIG["tool"]["pyright"]["include"]) >= PARTS


def test_every_part_has_a_page_of_documentation():
    missing = {part for part in PARTS if not (ROOT / "docs" / f"{part}.md").exists()}
    assert not missing


def test_every_folder_of_modules_is_a_package():
    folders = {path.parent for part in PARTS for path in (ROOT / part).rglob("*.py")}
    assert [folder for folder in folders if not (folder / "__init__.py").exists()] == []


def test_version_is_that_of_the_project():
    assert moesaic.__version__ == CONFIG["project"]["version"]


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_the_extras_that_make_installs_exist():
    """pip only warns about an unknown extra: the main job would then lack its kernels."""
    told = subprocess.run(
        ["make", "-n", "-B", ".venv/.core"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    asked = re.findall(r"--editable '\.(?:\[([^]]*)\])?'", told)
    known = CONFIG["project"]["optional-dependencies"]
    assert len(asked) == 1
    assert set(filter(None, asked[0].split(","))) <= known.keys()
