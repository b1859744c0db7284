"""The roofline of a step: hand-computed times, reasons that add up, and what can never help."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from moesaic.base import BadInput
from moesaic.hardware import Memory, Pim, System
from moesaic.hardware import load as hardware
from moesaic.hardware.device import Cache
from moesaic.roofline import Efficiency, bound, operators
from moesaic.workload import ExpertMap, Parallel, load, make_step

ANY = settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # they hold no state
)


def priced(model, system, parallel=None, efficiency=None, placed=None, **load):
    step = make_step(model, **load)
    return bound(operators(model, step, system, parallel, placed), system, efficiency)


def test_one_token_takes_its_bytes_over_the_bandwidth(machine, tiny):
    estimate = priced(tiny(), machine(1), batch=1, context=100)
    table = estimate.table
    moved = table.weight_bytes + table.kv_bytes + table.activation_bytes
    assert (table.flops / 1e14 < moved / 1e12).all()
    assert estimate.seconds == pytest.approx(moved.sum() / 1e12)
    assert estimate.limiter == "weights from memory"


def test_a_long_prompt_takes_its_flops_over_the_peak(machine, tiny, gpu):
    fast = Memory(technology="HBM3", capacity_bytes=1e12, bandwidth_bytes_per_s=1e30)
    estimate = priced(tiny(), machine(1, device=gpu(memory=fast)), prefill=4096)
    assert estimate.seconds == pytest.approx(estimate.table.flops.sum() / 1e14)
    assert estimate.limiter == "tensor peak"


def test_a_collective_takes_its_bytes_over_the_link_and_one_latency(machine, tiny):
    estimate = priced(tiny(), machine(4), Parallel(tp=4), batch=3, context=10)
    payload = 3 * 64 * 2
    names = [operator.name for operator in estimate.table.operators]
    seconds = estimate.operator_s[names.index("all-reduce.attention")]
    assert seconds == pytest.approx(2 * 3 / 4 * payload / 1e11 + 1e-6)


def test_activations_that_fit_in_the_cache_never_reach_memory(machine, tiny, gpu):
    cached = gpu(cache=Cache(capacity_bytes=1e9))
    estimate = priced(tiny(), machine(1, device=cached), batch=1, context=100)
    table = estimate.table
    moved = (table.weight_bytes + table.kv_bytes) / 1e12
    assert estimate.seconds == pytest.approx(np.maximum(moved, table.flops / 1e14).sum())


def test_a_cache_with_a_bandwidth_bounds_what_passes_through_it(machine, tiny, gpu):
    slow = gpu(cache=Cache(capacity_bytes=1e9, bandwidth_bytes_per_s=1e11))
    estimate = priced(tiny(), machine(1, device=slow), batch=1, context=100)
    assert estimate.limiter == "last-level cache"


LOADS = st.fixed_dictionaries(
    {
        "batch": st.integers(1, 300),
        "context": st.integers(0, 3000),
        "prefill": st.sampled_from([0, 0, 64, 777]),
    }
)
PLACES = st.sampled_from(
    [
        ("mixtral-8x7b", "dgx-h100", Parallel(tp=8)),
        ("deepseek-v3", "eight-node-h100", Parallel(tp=2, dp=32, ep=64)),
        ("jamba-v0.1", "dgx-h100", Parallel(tp=2, dp=2, ep=4, pp=2)),
        ("gpt-oss-120b", "attacc-2x8", Parallel(tp=4, dp=4, ep=16)),
        ("llama-4-scout", "two-node-h100", Parallel(tp=8, pp=2)),
        ("minimax-text-01", "mi300x-8", Parallel(dp=8, ep=8)),
        ("nllb-moe-54b", "attacc-8", Parallel(tp=2, dp=2, ep=4)),
        ("qwen1.5-moe-a2.7b", "dgx-h100", Parallel(dp=7, ep=7)),
    ]
)


@ANY
@given(PLACES, LOADS)
def test_reasons_add_up_to_the_last_digit(place, asked):
    model, system, parallel = load.model(place[0]), hardware.system(place[1]), place[2]
    estimate = priced(model, system, parallel, **asked)
    assert sum(estimate.why.values()) == estimate.seconds
    assert sum(estimate.by_part().values()) == pytest.approx(estimate.seconds)
    assert sum(estimate.by_resource().values()) == pytest.approx(estimate.seconds)
    assert min(estimate.why.values()) > 0
    assert estimate.tokens_per_s == estimate.table.tokens / estimate.seconds


@ANY
@given(PLACES, LOADS)
def test_no_device_works_longer_than_the_step_takes(place, asked):
    model, system, parallel = load.model(place[0]), hardware.system(place[1]), place[2]
    estimate = priced(model, system, parallel, **asked)
    busiest = estimate.operator_s.sum(axis=0).max()
    assert busiest <= estimate.seconds * (1 + 1e-12)
    assert estimate.seconds <= estimate.operator_s.max(axis=1).sum() * (1 + 1e-12)


def better(system: System, what: str) -> System:
    def device(one):
        if isinstance(one, Pim):
            one = msgspec.structs.replace(one, host=device(one.host))
        if what == "memory":
            rate = one.memory.bandwidth_bytes_per_s * 2
            memory = msgspec.structs.replace(one.memory, bandwidth_bytes_per_s=rate)
            return msgspec.structs.replace(one, memory=memory)
        peaks = {name: peak * 2 for name, peak in one.peak_flops_per_s.items()}
        return msgspec.structs.replace(one, peak_flops_per_s=peaks)

    def tier(one):
        rate = one.link.bandwidth_bytes_per_s * 2
        return msgspec.structs.replace(
            one, link=msgspec.structs.replace(one.link, bandwidth_bytes_per_s=rate)
        )

    if what == "links":
        return msgspec.structs.replace(system, tiers=tuple(tier(one) for one in system.tiers))
    made = {id(one): device(one) for one in system.devices}
    return msgspec.structs.replace(system, devices=tuple(made[id(d)] for d in system.devices))


@ANY
@given(PLACES, LOADS, st.sampled_from(["memory", "peak", "links"]))
def test_faster_hardware_is_never_slower(place, asked, what):
    model, system, parallel = load.model(place[0]), hardware.system(place[1]), place[2]
    now = priced(model, system, parallel, **asked)
    then = priced(model, better(system, what), parallel, **asked)
    assert then.seconds <= now.seconds * (1 + 1e-12)


@ANY
@given(PLACES, LOADS, st.sampled_from(["batch", "context", "prefill"]), st.integers(1, 200))
def test_more_tokens_and_longer_contexts_are_never_faster(place, asked, what, more):
    model, system, parallel = load.model(place[0]), hardware.system(place[1]), place[2]
    now = priced(model, system, parallel, **asked)
    then = priced(model, system, parallel, **asked | {what: asked[what] + more})
    assert then.seconds >= now.seconds * (1 - 1e-12)


@ANY
@given(LOADS, st.sampled_from(["attacc", "duplex", "bank-pim", "bank-group-pim"]))
def test_a_pim_beside_its_host_is_never_slower_than_the_host_alone(asked, name):
    device = hardware.device(name)
    assert isinstance(device, Pim)
    assert device.host
    both = System(name="one", devices=(device,))
    host = msgspec.structs.replace(device.host, memory=device.memory)
    alone = System(name="one", devices=(host,))
    model = load.model("mixtral-8x7b")
    assert priced(model, both, **asked).seconds <= priced(model, alone, **asked).seconds


def test_a_host_multiplies_the_formats_that_its_pim_lacks():
    model = load.model("switch-base-8")
    assert model.formats.weights == "fp32"
    estimate = priced(model, hardware.system("attacc"), batch=1, context=10)
    assert np.isfinite(estimate.seconds)
    with pytest.raises(BadInput, match="no peak for fp32"):
        priced(model, hardware.system("samsung-hbm-pim"), batch=1, context=10)


def test_the_slowest_of_unlike_devices_is_waited_for(machine, tiny, gpu):
    slow = Memory(technology="DDR4", capacity_bytes=1e12, bandwidth_bytes_per_s=1e11)
    alike = machine(2)
    unlike = msgspec.structs.replace(alike, devices=(gpu(), gpu(memory=slow)))
    both_slow = machine(2, device=gpu(memory=slow))
    times = [
        priced(tiny(), system, Parallel(tp=2), batch=4, context=50).seconds
        for system in (alike, unlike, both_slow)
    ]
    assert times[0] < times[1] == pytest.approx(times[2])


def skewed(ranks) -> ExpertMap:
    slots = np.arange(8, dtype=np.int32)[None]
    return ExpertMap(slots=slots, ranks=np.array(ranks, np.int32), layers=(1,), experts=8)


def test_experts_on_one_of_two_devices_are_imbalance_of_one_half(machine, tiny):
    even, odd = (
        priced(
            tiny(),
            machine(2),
            Parallel(tp=2, ep=2),
            placed=skewed(ranks),
            batch=64,
        )
        for ranks in ([0, 0, 0, 0, 1, 1, 1, 1], [0] * 8)
    )
    assert "experts: imbalance" not in even.why
    names = [operator.name for operator in odd.table.operators]
    products = [names.index(name) for name in ("experts.gate_up", "experts.down")]
    spent = odd.operator_s[products, 0].sum()
    assert odd.why["experts: imbalance"] == pytest.approx(spent / 2)
    assert odd.seconds > even.seconds


def test_the_first_tokens_experts_are_told_from_further_ones(machine, tiny):
    one = priced(tiny(), machine(1), batch=1)
    many = priced(tiny(), machine(1), batch=16)
    assert "experts: further experts' weights" not in one.why
    first = many.why["experts: weights from memory"]
    further = many.why["experts: further experts' weights"]
    touched = 8 * (1 - (1 - 2 / 8) ** 16)
    assert further / (first + further) == pytest.approx(1 - 2 / touched)


def test_shares_below_one_make_a_simulation_of_the_bound(machine, tiny):
    whole = priced(tiny(), machine(1), batch=1, context=100)
    half = priced(
        tiny(),
        machine(1),
        efficiency=Efficiency(weights=0.5, kv=0.5, activations=0.5, evidence="simulated"),
        batch=1,
        context=100,
    )
    assert half.seconds == pytest.approx(2 * whole.seconds)
    assert (whole.evidence, half.evidence) == ("bound", "simulated")


def test_energy_is_the_sum_of_published_constants(machine, tiny, gpu):
    memory = Memory(
        technology="HBM3",
        capacity_bytes=1e12,
        bandwidth_bytes_per_s=1e12,
        energy_j_per_byte=1e-11,
    )
    known = gpu(memory=memory, energy_j_per_flop=1e-12)
    estimate = priced(tiny(), machine(1, device=known), batch=3, context=10)
    table = estimate.table
    moved = (table.weight_bytes + table.kv_bytes + table.activation_bytes).sum()
    assert estimate.energy_j == pytest.approx(table.flops.sum() * 1e-12 + moved * 1e-11)


def test_energy_is_unknown_where_a_constant_is(machine, tiny, gpu):
    assert priced(tiny(), machine(1), batch=1).energy_j is None
    memory = Memory(
        technology="HBM3",
        capacity_bytes=1e12,
        bandwidth_bytes_per_s=1e12,
        energy_j_per_byte=1e-11,
    )
    known = gpu(memory=memory, energy_j_per_flop=1e-12)
    # The links of `machine` state no energy.
    assert priced(tiny(), machine(2, device=known), Parallel(tp=2), batch=1).energy_j is None


def test_operators_of_another_system_are_refused(machine, tiny):
    table = operators(tiny(), make_step(tiny(), batch=1), machine(2, 2), Parallel(tp=4))
    for other in (machine(2), machine(4)):
        with pytest.raises(BadInput, match="made for 4 in 2"):
            bound(table, other)
