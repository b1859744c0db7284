"""Tuning the CPU kernel as a user does: a runner in a process of its own, and a prediction."""

from __future__ import annotations

import numpy as np
import pytest

from moesaic.base import BadInput
from moesaic.kernels.compiled import cpp
from moesaic.kernels.compiled.compiler import NoCompiler
from moesaic.kernels.runners.cpu_tuning import cpu_tuning
from moesaic.measured.cpu_layer import Shape

TINY = Shape(hidden=128, inter=64, experts=3, top_k=2)


@pytest.fixture(autouse=True)
def compiler():
    try:
        return cpp.compiler()
    except NoCompiler as fault:
        pytest.skip(str(fault))


def test_the_configuration_of_the_best_prediction_is_measured_in_its_own_process():
    runner, predicted = cpu_tuning(TINY, tokens=9)
    with runner:
        assert predicted.shape == (len(runner.space),)
        assert (np.isfinite(predicted) & (predicted > 0)).all()
        trial = runner(int(predicted.argmin()))
    assert (trial.status, runner.evidence) == ("ok", "measured-here")
    assert runner.about["kernel"] == "experts-cpu"


def test_a_shape_that_no_configuration_serves_is_refused_before_anything_is_measured():
    with pytest.raises(BadInput, match="columns are shared out without a rest"):
        cpu_tuning(TINY._replace(hidden=100))
