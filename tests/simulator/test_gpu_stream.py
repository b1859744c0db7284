"""Operators that only move data: launch, bytes at the pace of memory or cache, few rows slow."""

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moesaic.base import BadInput
from moesaic.hardware.load import device
from moesaic.simulator.gpu.constants import limits
from moesaic.simulator.gpu.machine import Machine
from moesaic.simulator.gpu.stream import (
    OPERATORS,
    TERMS,
    StreamCall,
    StreamConstants,
    starts,
    stream_terms,
)

H100 = Machine.of(device("h100-sxm"), "bf16")
drawn = st.fixed_dictionaries(
    {name: st.floats(*ends) for name, ends in limits(StreamConstants).items()}
).map(lambda values: StreamConstants(**values))
sizes = st.floats(1e3, 1e11)
counts = st.integers(1, 10**6)


def seconds(moved, rows, constants, machine=H100, fresh=True):
    call = StreamCall(moved_bytes=np.array([moved]), rows=np.array([float(rows)]), fresh=fresh)
    return sum(float(term[0]) for term in stream_terms(call, machine, constants).values())


@settings(max_examples=60, deadline=None)
@given(drawn, sizes, counts)
def test_no_call_beats_the_memory_unless_the_cache_holds_it(constants, moved, rows):
    at_peak = moved / H100.bandwidth_bytes_per_s
    assert seconds(moved, rows, constants, fresh=False) >= at_peak
    assert seconds(moved, rows, constants) >= at_peak / constants.cache_gain
    assert seconds(moved, rows, constants) <= seconds(moved, rows, constants, fresh=False)


@settings(max_examples=60, deadline=None)
@given(drawn, sizes, counts, st.floats(1, 4))
def test_more_bytes_are_never_faster_and_more_rows_or_bandwidth_never_slower(
    constants, moved, rows, more
):
    time = seconds(moved, rows, constants)
    assert seconds(moved * more, rows, constants) >= time * (1 - 1e-12)
    assert seconds(moved, rows * more, constants) <= time * (1 + 1e-12)
    wider = msgspec.structs.replace(H100, bandwidth_bytes_per_s=more * H100.bandwidth_bytes_per_s)
    assert seconds(moved, rows, constants, wider) <= time * (1 + 1e-12)


def test_a_large_call_takes_its_bytes_over_the_share_of_the_bandwidth():
    constants = StreamConstants(dram_share=0.5, unit_gain=20)
    bytes_s = 1e11 / (0.5 * H100.bandwidth_bytes_per_s)
    assert seconds(1e11, 1e6, constants) == pytest.approx(bytes_s, rel=1e-3)


def test_a_single_row_goes_at_the_pace_of_one_sm():
    constants = StreamConstants(launch_s=1e-6, unit_gain=2)
    alone = H100.units / (2 * H100.bandwidth_bytes_per_s)
    assert seconds(1e8, 1, constants) == pytest.approx(1e-6 + 1e8 * alone, rel=1e-3)


def test_the_terms_are_those_named_and_broadcast():
    call = StreamCall(moved_bytes=1e6, rows=np.array([1.0, 8.0]))
    terms = stream_terms(call, H100, StreamConstants())
    assert tuple(terms) == TERMS
    assert all(term.shape == (2,) and (term >= 0).all() for term in terms.values())


def test_a_family_begins_with_the_operator_that_it_names():
    assert starts("vidur/vllm/layer-norm") == (OPERATORS["layer-norm"],)
    assert starts("other/kernel") == (StreamConstants(),)


def test_a_layer_norm_of_the_h100_takes_what_was_recorded():
    # 4,096 tokens of width 8,192 in 16 bits: 0.123 ms; a single token: 6 us (microsoft/vidur).
    norm = OPERATORS["layer-norm"]
    assert seconds(2 * 2 * 4096 * 8192, 4096, norm) == pytest.approx(123e-6, rel=0.15)
    assert seconds(2 * 2 * 8192, 1, norm) == pytest.approx(6e-6, rel=0.5)


@pytest.mark.parametrize(("moved", "rows"), [(0.0, 1.0), (1.0, 0.0), (float("nan"), 1.0)])
def test_a_call_of_nothing_is_refused(moved, rows):
    with pytest.raises(BadInput, match="positive"):
        StreamCall(moved_bytes=moved, rows=rows)
