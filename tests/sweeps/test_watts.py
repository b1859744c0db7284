"""Watts of recorded layers, predicted without their times."""

import msgspec
import numpy as np
import pytest

from moesaic.base import BadInput
from moesaic.hardware.load import device
from moesaic.measured import load
from moesaic.simulator.gpu.power import CARRY_S, POWER
from moesaic.sweeps.accuracy import watts as part
from moesaic.sweeps.accuracy.watts import predicted_watts, watt_errors

B200 = device("b200-sxm")


def silent(line):
    return None


@pytest.fixture(scope="module")
def table():
    """One format's layers of two shapes, not split."""
    return load("power", "b200-sxm").where(
        dtype="fp8", hidden=[4096, 6144], inter=[1536, 2560], tp=1, ep=1, distribution="balanced"
    )


def test_watts_of_unseen_shapes_lie_near_the_meters_and_below_the_limit(table, monkeypatch):
    monkeypatch.setattr("moesaic.sweeps.accuracy.folds.LEAST_ROWS", 20)
    monkeypatch.setattr("moesaic.sweeps.accuracy.fit.LEAST_ROWS", 20)
    drawn = predicted_watts(table, B200, 0, silent)
    assert (drawn > POWER["b200-sxm"].idle_w * 0.9).all()
    assert (drawn < 1000).all()
    rows = watt_errors(table, drawn)
    assert rows[0].rows == len(table)
    assert rows[0].median_ape < 0.15


def test_a_meter_carries_the_test_before_within_its_series_only(table):
    flat = np.where(table["hidden"] == 4096, 300.0, 900.0)
    shown = part._shown(table, flat, np.full(len(table), CARRY_S))
    np.testing.assert_allclose(shown, flat)
    steps = np.where(table["num_tokens"] > 64, 900.0, 300.0)
    shown = part._shown(table, steps, np.full(len(table), CARRY_S))
    first = table["num_tokens"] == 1
    np.testing.assert_allclose(shown[first], 600.0)  # it starts hot, from the last of its series


def test_what_has_no_watts_is_refused(table):
    with pytest.raises(BadInput, match="no watts"):
        predicted_watts(load("moe", "a100-80gb-sxm"), B200, 0, silent)
    with pytest.raises(BadInput, match="GPU with power constants"):
        predicted_watts(table, device("h100-sxm"), 0, silent)
    limits = np.where(table["num_tokens"] == 1, 700.0, 1000.0)
    mixed = msgspec.structs.replace(table, columns={**table.columns, "power_limit_w": limits})
    with pytest.raises(BadInput, match="one number"):
        predicted_watts(mixed, B200, 0, silent)
