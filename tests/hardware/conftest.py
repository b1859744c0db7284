"""This machine is probed once for the whole run, into a cache of the tests' own."""

import pytest

from moesaic.hardware import local


@pytest.fixture(scope="session")
def probe_cache(tmp_path_factory):
    return tmp_path_factory.mktemp("probe")


@pytest.fixture
def probed(probe_cache, monkeypatch):
    monkeypatch.setenv("MOESAIC_CACHE", str(probe_cache))
    return local.local_cpu()
