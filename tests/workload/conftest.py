from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The recorded routing that the examples read."""
    return Path(__file__).parents[2] / "examples" / "data"
