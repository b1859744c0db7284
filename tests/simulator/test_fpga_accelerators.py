"""Do whole accelerators, as dataflow graphs, move what their sources say, in the time they must?"""

import math

import msgspec
import numpy as np
import pytest

from moesaic.base import BadInput
from moesaic.hardware import Fpga
from moesaic.hardware.load import device
from moesaic.simulator.fpga import EdgeMoe, UbiMoe, estimate
from moesaic.simulator.fpga.accelerators import accelerator, simulate_images
from moesaic.simulator.fpga.graph import ends, unbalanced
from moesaic.simulator.fpga.run import simulate
from moesaic.workload.load import model


def board(name: str) -> Fpga:
    found = device(name)
    assert isinstance(found, Fpga)
    return found


TINY, ZCU102 = model("m3vit-tiny"), board("zcu102")
LAYERS = len(TINY.layers)
HLS = {
    "q_stream": ("q.read.data", 3096),
    "k_stream": ("k.read.data", 102168),
    "v_stream": ("v.read.data", 102168),
    "qxk_stream": ("qxk_stream", 4257),
    "attn_stream": ("attn_stream", 17028),
    "attn_softmax_info_stream": ("attn_softmax_info_stream", 129),
    "attn_matmul_v_stream": ("attention.write.data", 3096),
}
"""Edge-MoE's FIFOs: ours by name, and the tokens of a layer when its HLS C++ ran, 129 tokens."""


@pytest.fixture(scope="module")
def edge():
    return ends(accelerator(EdgeMoe(), TINY, 129, ZCU102))


@pytest.mark.parametrize("stream", HLS)
def test_edge_moes_attention_moves_as_many_tokens_as_its_hls_code(edge, stream):
    name, tokens = HLS[stream]
    assert edge[name].written == edge[name].read == tokens * LAYERS


@pytest.mark.parametrize(("inputs", "tokens"), [(192, 1548), (768, 6192)])
def test_edge_moes_linear_kernel_reads_as_many_tiles_as_its_hls_code(inputs, tokens):
    from moesaic.simulator.fpga.blocks.linear import Tiling, dealer_program
    from moesaic.simulator.fpga.graph import Process, moved

    tiling = Tiling(inputs=inputs, outputs=192, tin=16, tout=16, lanes=8, chunk=16)
    program = dealer_program(129, tiling, x="x", units=("in_stream",), orders=None, group="group")
    read, written = moved(Process(name="read", program=program))
    assert (read["x"], written["in_stream"]) == (2 * tokens, tokens)


def one_expert(tokens):
    """All tokens to expert 0 of every MoE layer, their second choices spread."""
    block = TINY.experts
    row = np.zeros(block.count, int)
    row[0] = tokens
    row[1:] = tokens // (block.count - 1)
    row[1 : 1 + tokens % (block.count - 1)] += 1
    return np.tile(row, (len(TINY.moe_layers), 1))


def test_edge_moes_fault_shows_in_the_graph_before_any_cycle_is_simulated():
    found = unbalanced(accelerator(EdgeMoe(), TINY, 129, ZCU102, queues=one_expert(129)))
    assert set(found) == {"linear.index"}
    end = found["linear.index"]
    # Two matrices of the one full queue in each of six MoE layers.
    assert end.read - end.written == 2 * 6 * 129
    assert (end.writer, end.reader) == ("linear.deal", "linear.collect")


def test_edge_moe_stands_still_where_one_expert_has_all_tokens():
    stuck = simulate(accelerator(EdgeMoe(), TINY, 129, ZCU102, queues=one_expert(129), layers=2))
    assert stuck.deadlock is not None
    assert "linear.collect waits for tokens in linear.index" in str(stuck.deadlock)
    mended = msgspec.structs.replace(EdgeMoe(), skips_full_queues=False)
    graph = accelerator(mended, TINY, 129, ZCU102, queues=one_expert(129), layers=2)
    assert unbalanced(graph) == {}
    assert simulate(graph).deadlock is None


@pytest.mark.parametrize("design", [UbiMoe(), EdgeMoe()], ids=["ubimoe", "edge-moe"])
def test_no_published_design_is_faster_than_full_overlap_of_its_kernels(design):
    found = simulate_images(design, TINY, 129, ZCU102)
    assert found.ended
    assert found.seconds >= estimate(design, TINY, 129, ZCU102).full_overlap_s


def test_the_kernels_of_an_image_sum_to_its_time():
    found = simulate_images(UbiMoe(), TINY, 33, ZCU102)
    assert math.isclose(sum(found.kernels.values()), found.seconds, rel_tol=1e-12)
    assert {"attention", "experts", "gate", "dense block"} <= found.kernels.keys()


def test_two_images_at_once_take_less_than_twice_the_time_of_one():
    alone, both = (
        simulate(accelerator(UbiMoe(), TINY, 65, ZCU102, images=n, layers=2)).cycles for n in (1, 2)
    )
    assert alone < both < 2 * alone


def test_a_memory_twice_as_fast_makes_no_image_slower():
    """Even one that gives a beat in a thousandth of a cycle."""

    def cycles(bandwidth):
        memory = msgspec.structs.replace(ZCU102.memory, bandwidth_bytes_per_s=bandwidth)
        fast = msgspec.structs.replace(ZCU102, memory=memory)
        return simulate(accelerator(UbiMoe(), TINY, 33, fast, layers=2)).cycles

    taken = [cycles(bandwidth) for bandwidth in (9.6e9, 19.2e9, 38.4e9, 1e12, 1.9e13, 2e13, 1e15)]
    assert taken == sorted(taken, reverse=True)


def test_scores_that_find_no_room_stand_still():
    shallow = msgspec.structs.replace(UbiMoe(), score_rows=48)
    found = simulate(accelerator(shallow, TINY, 65, ZCU102, layers=1))
    text = str(found.deadlock)
    assert "qk waits for room in scores (full, 48 of 48)" in text
    assert "av waits for tokens in row_max (empty)" in text


@pytest.mark.parametrize(
    ("words", "said"), [({"images": 3}, "must be 1 or 2"), ({"layers": 13}, "between 1 and 12")]
)
def test_what_no_chip_does_is_refused(words, said):
    with pytest.raises(BadInput, match=said):
        accelerator(UbiMoe(), TINY, 65, ZCU102, **words)
