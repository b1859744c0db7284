"""Does it fit: what is held, what is needed, and by how much it lacks."""

from __future__ import annotations

import msgspec
import pytest

from moesaic.base import BadInput
from moesaic.hardware import Memory
from moesaic.hardware import load as hardware
from moesaic.roofline import fit, operators
from moesaic.workload import Parallel, load, make_step
from moesaic.workload.parameters import kv_bytes_per_token


def fitted(model, system, parallel=None, **asked):
    return fit(
        model, operators(model, make_step(model, **asked), system, parallel), system, parallel
    )


def test_mixtral_needs_two_80_gb_devices():
    model, system = load.model("mixtral-8x7b"), hardware.system("dgx-h100")
    assert not fitted(model, system, batch=1, context=100).ok
    two = fitted(model, system, Parallel(tp=2), batch=1, context=100)
    assert two.ok
    assert two.weights.sum() == pytest.approx(93.4e9, rel=0.01)


def test_the_message_says_by_how_much_and_what_to_do():
    model, system = load.model("mixtral-8x7b"), hardware.system("dgx-h100")
    lacking = fitted(model, system, batch=1, context=100)
    with pytest.raises(BadInput, match=r"device 0 \(h100-sxm\) needs 93.4 GB .*too much; use more"):
        lacking.demand(system)
    fitted(model, system, Parallel(tp=2), batch=1, context=100).demand(system)


def test_the_cache_is_that_of_the_steps_requests(machine):
    model = load.model("deepseek-v3")
    held = fitted(model, machine(8), Parallel(dp=8, ep=8), batch=16, context=999)
    assert held.kv == pytest.approx(2 * 1000 * kv_bytes_per_token(model))
    latent = fitted(model, machine(8), Parallel(tp=8, ep=8), batch=16, context=999)
    assert latent.kv == pytest.approx(16 * 1000 * kv_bytes_per_token(model))  # on every device


def test_stages_of_a_pipeline_share_the_layers(machine, tiny):
    one = fitted(tiny(), machine(1), batch=3, context=10)
    two = fitted(tiny(), machine(2), Parallel(pp=2), batch=3, context=10)
    assert two.weights.sum() == one.weights.sum()
    assert two.kv.tolist() == [one.kv[0] / 2] * 2


def test_an_idle_replica_holds_its_weights_and_no_cache(machine, tiny):
    held = fitted(tiny(), machine(2), Parallel(dp=2, ep=2), batch=1, context=10)
    assert held.kv[1] == 0 < held.kv[0]
    assert held.weights[1] == held.weights[0]


def test_the_worst_device_is_the_one_that_lacks_most(machine, tiny, gpu):
    small = Memory(technology="HBM3", capacity_bytes=1e3, bandwidth_bytes_per_s=1e12)
    system = msgspec.structs.replace(machine(2), devices=(gpu(), gpu(memory=small)))
    held = fitted(tiny(), system, Parallel(tp=2), batch=1)
    assert held.worst == 1
    assert (held.needed == held.weights + held.kv + held.activations).all()
