"""Board watts of MoE layers: between idle and the limit, more where more is moved or computed."""

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moesaic.base import BadInput
from moesaic.hardware.load import device
from moesaic.simulator.gpu import ExpertCall, ExpertConstants, Machine, even_load
from moesaic.simulator.gpu.experts import expert_terms
from moesaic.simulator.gpu.power import POWER, expert_watts, metered

B200 = Machine.of(device("b200-sxm"), "bf16")
WATTS = POWER["b200-sxm"]


def layer(tokens, experts=64, hidden=4096, inter=2048, top_k=4):
    one = np.ones(1)
    load = even_load(one * tokens * top_k, one * experts)
    return ExpertCall(
        tokens=one * tokens,
        group_rows=one * tokens * top_k,
        local_experts=one * experts,
        hidden=one * hidden,
        inter=one * inter,
        matrices_in=2 * one,
        weight_size=2.0,
        activation_size=2.0,
        assigned=load,
        reached=load,
    )


def watts(call, constants=WATTS, slower=1.0, dtype="bf16", limit=1000.0):
    terms = expert_terms(call, B200, ExpertConstants())
    terms = {name: slower * seconds for name, seconds in terms.items()}
    return float(expert_watts(call, B200, terms, constants, dtype, limit)[0])


@settings(max_examples=50, deadline=None)
@given(
    st.integers(1, 20000),
    st.sampled_from([8, 64, 256]),
    st.sampled_from([512, 4096]),
    st.floats(400, 1200),
)
def test_watts_lie_between_idle_and_the_limit(tokens, experts, inter, limit):
    drawn = watts(layer(tokens, experts, inter=inter), limit=limit)
    assert min(0.9 * WATTS.idle_w, limit / 2) < drawn < limit


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 20000), st.floats(1, 10))
def test_the_same_layer_over_a_longer_time_draws_less(tokens, slower):
    assert watts(layer(tokens), slower=slower) <= watts(layer(tokens)) * (1 + 1e-9)


def test_a_layer_far_below_the_limit_draws_the_sum_of_its_parts():
    call = layer(1, experts=8, hidden=1024, inter=512)
    terms = {name: np.ones(1) for name in ("launch", "gate_up", "down")}
    waves = 4 * np.ceil(2 * 512 / 64) / B200.units
    demand = WATTS.idle_w + WATTS.active_w * 2 / 3 * waves / (1 + waves)
    drawn = expert_watts(call, B200, terms, WATTS, "bf16", 1e6)
    assert drawn[0] == pytest.approx(demand, rel=1e-3)  # joules over three seconds are nothing


def test_a_large_layer_reaches_the_limit_and_a_format_without_energy_is_refused():
    assert watts(layer(16384)) > 900
    with pytest.raises(BadInput, match="number format with an energy"):
        watts(layer(16), dtype="nvfp4")


def test_energy_of_a_byte_is_at_least_that_of_the_memory_itself():
    # 3.48 pJ a bit: sum of the parts of an HBM read in the literature.
    assert WATTS.joules_per_dram_byte >= 8 * 3.48e-12
    assert WATTS.joules_per_flop["fp8"] < WATTS.joules_per_flop["bf16"]


def test_a_meter_without_memory_shows_the_watts_and_one_with_it_what_was_before():
    true, seconds = np.array([[300.0, 500.0, 900.0]]), np.array([[1e-5, 1e-4, 1e-3]])
    assert metered(true, seconds, 0.0) == pytest.approx(true)
    shown = metered(true, seconds, 1e-4)[0]
    assert shown[0] == pytest.approx(900 / 1.1 + 300 * 0.1 / 1.1)
    assert shown[1] == pytest.approx((shown[0] + 500) / 2)


def test_constants_outside_of_physics_are_refused():
    with pytest.raises(ValueError, match="idle_w"):
        msgspec.structs.replace(WATTS, idle_w=5000.0)
