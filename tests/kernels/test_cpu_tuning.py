"""Tuning the CPU kernel as a user does: a runner in a process of its own, and a prediction."""

from __future__ import annotations

from functools import partial

import msgspec
import pytest

from moesaic.base import BadInput
from moesaic.kernels.compiled import cpp
from moesaic.kernels.compiled.compiler import NoCompiler
from moesaic.kernels.library.cpu_experts import CpuShape
from moesaic.kernels.prediction.cpu import predict
from moesaic.kernels.runners.cpu import CpuRunner
from moesaic.kernels.runners.isolated import Isolated

TINY = CpuShape(hidden=128, inter=64, experts=3, top_k=2, tokens=9)


@pytest.fixture(autouse=True)
def compiler():
    try:
        return cpp.compiler()
    except NoCompiler as fault:
        pytest.skip(str(fault))


def test_the_configuration_of_the_best_prediction_is_measured_in_its_own_process():
    with Isolated(partial(CpuRunner, TINY), limit_s=60) as runner:
        foreseen = predict(runner.space, TINY)
        assert foreseen.seconds.shape == (len(runner.space),)
        assert foreseen.seconds.min() > foreseen.bound_s > 0
        trial = runner(int(foreseen.seconds.argmin()))
    assert (trial.status, runner.evidence) == ("ok", "measured-here")
    assert runner.about["kernel"] == "experts-cpu"


def test_a_shape_that_no_configuration_serves_is_refused_before_anything_is_measured():
    with pytest.raises(BadInput, match="columns are shared out without a rest"):
        Isolated(partial(CpuRunner, msgspec.structs.replace(TINY, hidden=100)), limit_s=60)
