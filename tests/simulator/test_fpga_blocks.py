"""The blocks as dataflow programs: token counts, cycles and deadlocks that follow from the block's
description, and integer arithmetic that is close to the real function."""

import math

import numpy as np
import pytest

from moesaic.simulator.fpga.blocks import MODELS
from moesaic.simulator.fpga.blocks.attention_stream import av_program, qk_program
from moesaic.simulator.fpga.blocks.expert_linear import expert_linear
from moesaic.simulator.fpga.blocks.online_softmax import online_softmax
from moesaic.simulator.fpga.blocks.systolic import ws_program
from moesaic.simulator.fpga.closed_forms import stream_counts
from moesaic.simulator.fpga.golden import (
    BLOCKS,
    AttentionStream,
    BurstLoader,
    ExpertLinear,
    GeluTable,
    OnlineSoftmax,
)
from moesaic.simulator.fpga.graph import Process, moved, steps_of, unbalanced
from moesaic.simulator.fpga.run import simulate


def drawn(top, seed=3):
    rng = np.random.default_rng(seed)
    block = BLOCKS[top].drawn(rng)
    return block, block.inputs(rng)


@pytest.mark.parametrize("top", BLOCKS)
def test_a_block_reads_what_its_sources_have_and_writes_what_it_computes(top):
    for seed in range(5):
        block, inputs = drawn(top, seed)
        graph = MODELS[top](block, inputs, {})
        assert unbalanced(graph) == {}
        ends = {p.name: moved(p)[1 - p.name.endswith(" sink")] for p in graph.processes}
        counts = {name: len(tokens) for name, tokens in (inputs | block.outputs(inputs)).items()}
        for name, count in counts.items():
            kind = "source" if name in block.sources else "sink"
            assert ends.get(f"{name} {kind}", {}).get(name, 0) == count


def test_attention_moves_the_tokens_that_edge_moe_counts():
    names = {"scores": "qxk_stream", "row_max": "attn_softmax_info_stream"}
    qk = qk_program(129, 24, 4, q="q_stream", k="k_stream", **names)
    out = "attn_matmul_v_stream"
    av = av_program(129, 24, 4, v="v_stream", out=out, **names)
    reads, writes = moved(Process(name="qk", program=qk))
    also_reads, also_writes = moved(Process(name="av", program=av))
    counted = stream_counts(129, 192, 4, 8)
    del counted["attn_stream"]  # p scores each: ours is one token for all of them
    assert reads | writes | also_reads | also_writes == counted


def test_attention_without_stalls_takes_a_beat_a_cycle():
    depths = {"q": 2, "k": 2, "v": 2, "scores": 64, "row_max": 2, "out": 8}
    block = AttentionStream(tokens=50, beats=4, queries=4, depths=depths)
    run = simulate(MODELS[block.top](block, {}, {}))
    qk, av = run.processes["qk"], run.processes["av"]
    assert qk.busy == av.busy == block.steps * block.beats
    assert sum(qk.stalls.values()) == sum(av.stalls.values()) == 0


def linear(queues, **sizes):
    """An expert linear block with these queue lengths, and its inputs."""
    tokens = sum(queues)
    depths = {"x": 2, "routes": 2, "w": 2, "in": 16, "orders": 8, "groups": 2}
    depths |= {"weights": 2, "out": 5, "y": 2}
    block = ExpertLinear(
        **{"tokens": tokens, "top_k": 1, "experts": len(queues), "depths": depths} | sizes
    )
    chosen = np.repeat(np.arange(len(queues), dtype=np.uint32), queues)
    routes = np.arange(tokens, dtype=np.uint32) << 8 | chosen
    inputs = block.inputs(np.random.default_rng(0))
    return block, inputs | {"routes": routes.reshape(-1, 1).astype(np.uint32)}


SIZES = {"units": 3, "reads": 2, "in_tiles": 4, "out_beats": 2, "out_tiles": 4}


def test_the_compute_units_take_a_tile_a_cycle_for_every_padded_group():
    block, inputs = linear([7, 0, 3, 1], **SIZES)
    run = simulate(expert_linear(block, inputs))
    groups = 3 + 1 + 1
    assert run.processes["compute"].busy == groups * 4 * 4
    assert run.fifos["y"].tokens == 11 * 4 * 2


def test_orders_for_fewer_rows_than_units_are_a_deadlock_that_names_both_ends():
    block, inputs = linear([7, 3], **SIZES)
    graph = expert_linear(block, inputs)
    assert simulate(graph, depths={"orders": 3}).deadlock is None
    stuck = simulate(graph, depths={"orders": 2}).deadlock
    assert stuck is not None
    assert "dealer waits for room in orders (full, 2 of 2)" in str(stuck)
    assert "writer" in str(stuck)


def test_a_weight_stationary_tile_takes_scalesims_cycles():
    program = ws_program(16, 16, 197, 1, w="w", x="x", sums="sums")
    assert sum(times for _, times in steps_of(program)) == 2 * 16 + 16 + 197 - 2


def test_one_pass_softmax_keeps_pace_with_its_slower_process():
    depths = {"x": 2, "kept": 48, "stats": 2, "y": 8}
    block = OnlineSoftmax(rows=20, width=32, scan_interval=3, depths=depths)
    run = simulate(online_softmax(block))
    assert run.processes["scan"].busy == 20 * 32 * 3
    assert sum(run.processes["scan"].stalls.values()) == 0


def test_a_table_of_few_ports_stretches_a_beat():
    for ports, cycles in ((4, 1), (2, 2), (1, 4)):
        block = GeluTable(beats=100, ports=ports, depths={"x": 2, "y": 4})
        run = simulate(MODELS[block.top](block, {}, {}))
        assert run.processes["gelu"].busy == 100 * cycles


def test_a_double_buffer_hides_the_load_under_enough_uses():
    depths = {"request": 2, "written": 16, "fetched": 32, "read data": 16, "done": 2, "out": 8}
    for uses, halves, hidden in ((3, 2, True), (3, 1, False), (1, 2, False)):
        block = BurstLoader(
            tile=16, uses=uses, num=2, den=1, fetches=20, reads=1, writes=1,
            depths=depths | {"tiles": halves},
        )  # fmt: skip
        inputs = block.inputs(np.random.default_rng(2))
        use = simulate(MODELS[block.top](block, inputs, {})).processes["use"]
        assert use.busy == 20 * 16 * uses
        assert (sum(use.stalls.values()) < 40) == hidden


def test_integer_attention_is_close_to_softmax():
    block = AttentionStream(
        tokens=24, beats=8, queries=4, depths=dict.fromkeys(AttentionStream.fifos, 32)
    )
    inputs = block.inputs(np.random.default_rng(5))
    q, k, v = (inputs[name][: 24 * 8].view(np.int8).reshape(24, 32).astype(float) for name in "qkv")
    powers = 2 ** ((q @ k.T) / 2**block.shift / 16)
    exact = powers / powers.sum(axis=1, keepdims=True) @ v
    found = block.outputs(inputs)["out"].view(np.int8).reshape(24, 32)
    assert np.abs(found - exact).max() < 3


def test_tabled_gelu_is_close_to_gelu():
    x = np.arange(-(2**15), 2**15, dtype=np.int16).reshape(-1, 4)
    block = GeluTable(beats=len(x), ports=4, depths={"x": 2, "y": 2})
    found = block.outputs({"x": x.view(np.uint32)})["y"].view(np.int16).ravel() / 256
    exact = np.array([a * math.erfc(-a / math.sqrt(2)) / 2 for a in x.ravel() / 256])
    assert np.abs(found - exact).max() < 0.02
