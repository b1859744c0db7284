"""The plot of the CPU kernel: the space it is given, with errors of what was not fitted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from moesaic.sweeps.plots.style import svg
from moesaic.sweeps.plots.tuned_cpu import Gain, MeasuredSpace, predicted_and_gains


@pytest.fixture(scope="module")
def space():
    return MeasuredSpace(
        about="a layer",
        measured_s=np.array([0.010, 0.020, 0.040, 0.080, 0.020]),
        predicted_s=np.array([0.011, 0.018, 0.040, 0.120, 0.900]),
        in_panels=np.array([True, True, False, False, False]),
        threaded=np.array([True, False, True, False, True]),
        fitted=np.array([False, False, False, False, True]),
        default=2,
        bound_s=0.008,
    )


def test_errors_are_of_the_configurations_that_the_model_has_not_seen(space):
    assert space.errors() == pytest.approx({"MAPE": 0.175, "median": 0.1, "Spearman": 1.0})


def test_each_configuration_and_each_seed_is_a_dot(space):
    gains = [Gain(name="a", speedups=(1.2, 1.5)), Gain(name="b", speedups=(1.0,))]
    made = predicted_and_gains(space, gains)
    axes: Any = made.axes
    shown = np.concatenate([np.asarray(dots.get_offsets()) for dots in axes[0].collections[1:5]])
    assert sorted(shown[:, 0]) == pytest.approx(sorted(space.measured_s * 1e3))
    assert sum(dots.get_offsets().shape[0] for dots in axes[1].collections) == 3 + len(gains)
    title = axes[0].get_title(loc="left")
    assert "MAPE 17.5%" in title
    assert svg(made) == svg(predicted_and_gains(space, gains))
