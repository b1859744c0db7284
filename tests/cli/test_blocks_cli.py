"""moesaic kernel blocks: what the Python call says, beside the closed form, or one sentence."""

import json

import msgspec
import numpy as np
import pytest

from moesaic.base import BadInput
from moesaic.cli.app import main
from moesaic.hardware.load import device
from moesaic.simulator.gpu import (
    ExpertCall,
    ExpertConstants,
    Machine,
    even_load,
    every_slot,
    expert_terms,
    load_of,
)
from moesaic.simulator.gpu.choice import choose
from moesaic.simulator.gpu.grouped import GroupedProduct, product_run
from moesaic.simulator.gpu.routed import RoutedLayer, device_loads, routed_layer, routed_runs
from moesaic.workload import Parallel
from moesaic.workload.load import model
from moesaic.workload.power_law import busiest_rank, power_law_loads

WORDS = ["kernel", "blocks", "qwen3-30b-a3b", "--on", "h100-sxm", "--batch", "256"]
H100 = Machine.of(device("h100-sxm"), "bf16")


def call_of(layer, assigned, reached):
    one = np.ones(1)
    return ExpertCall(
        tokens=one * layer.tokens,
        group_rows=one * layer.tokens * layer.top_k,
        local_experts=one * layer.loads.size,
        hidden=one * layer.hidden,
        inter=one * layer.inter,
        matrices_in=one * (1 + layer.gated),
        weight_size=2.0,
        activation_size=2.0,
        assigned=assigned,
        reached=reached,
        repeated=False,
    )


def layer_of(loads, **changes):
    layer = RoutedLayer(
        tokens=int(np.sum(loads)) // 2,
        top_k=2,
        loads=np.asarray(loads, np.int64),
        hidden=2048,
        inter=1024,
        gated=True,
        dtype="bf16",
    )
    return msgspec.structs.replace(layer, **changes)


def test_the_command_says_what_the_python_call_says(capsys):
    assert main([*WORDS, "--skew", "1.2", "--ep", "4", "--kernels", "vllm", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    layer = routed_layer(model("qwen3-30b-a3b"), Parallel(dp=4, ep=4), 256, skew=1.2)
    chosen = choose("h100-sxm", "moe", "experts", "bf16", "vllm", words=("-nongated",))
    assert isinstance(chosen.constants, ExpertConstants)
    assert (said["kernels"], said["evidence"]) == (chosen.family, "simulated")
    assert said["loads"] == layer.loads.tolist()
    for told, product in zip(
        said["products"], routed_runs(layer, H100, chosen.constants), strict=True
    ):
        assert told["product"] == product.name
        assert told["tile"] == list(product.tile)
        assert told["seconds"] == product.run.seconds
        assert told["closed_s"] == product.closed_s
        assert told["blocks"] == product.run.slot.size
        assert told["slots"] == 132
        assert told["idle_share"] == product.run.idle_share
        assert told["waiting_share"] == product.run.waiting_share


def test_the_table_names_both_products_and_the_evidence(capsys):
    assert main(WORDS) == 0
    shown = capsys.readouterr().out
    for word in ("gate-up", "down", "simulated", "closed form", "trtllm/moe_torch_flow_cutlass"):
        assert word in shown


def test_out_writes_the_blocks_of_gate_up(tmp_path, capsys):
    out = tmp_path / "blocks.json"
    assert main([*WORDS, "--json", "--out", str(out)]) == 0
    shown = capsys.readouterr()
    assert "perfetto" in shown.err
    gate_up = json.loads(shown.out)["products"][0]
    events = [one for one in json.loads(out.read_text())["traceEvents"] if one["ph"] == "X"]
    assert len(events) == gate_up["blocks"]
    ends = max(one["ts"] + one["dur"] for one in events)
    assert ends == pytest.approx(gate_up["seconds"] * 1e6, rel=1e-6)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--on", "epyc-9654"], "no GPU"),
        (["--on", "h100"], "h100-sxm"),
        (["--batch", "0"], "batch"),
        (["--batch", "9" * 20], "batch"),
        (["--batch", "9000000"], "at most 4,000,000"),
        (["--tp", "3"], "tp: does not divide"),
        (["--tp", "0"], "--tp: must be at least 1"),
        (["--ep", "3"], "must divide the 128 experts"),
        (["--skew", "-1"], "skew: must be between 0"),
        (["--skew", "nan"], "skew: must be between 0"),
        (["--kernels", "cublas"], "trtllm, sglang, vllm"),
        (["--weights", "fp9"], "fp8"),
        (["--out", "/proc/none/blocks.json"], "cannot be written"),
    ],
)
def test_what_cannot_be_is_one_sentence_and_exit_code_2(words, told, capsys):
    assert main([*WORDS, *words]) == 2
    shown = capsys.readouterr()
    assert told in shown.err
    assert (shown.out, shown.err.count("\n")) == ("", 1)


def test_even_loads_are_those_of_the_recorded_tables():
    for tokens, experts, top_k, ep in ((1, 128, 8, 8), (100, 60, 4, 1), (37, 64, 6, 4)):
        loads = device_loads(tokens, top_k, experts, ep=ep)
        rows = float(np.ceil(tokens * top_k / ep))
        even, mine = even_load(np.array([rows]), np.array([experts / ep])), load_of(loads[None, :])
        assert (mine.rows, mine.touched) == (even.rows, even.touched)
        assert (mine.tiles == even.tiles).all()


def test_a_skewed_load_is_the_first_draw_of_the_recorded_tables():
    drawn = power_law_loads(512, 8, 128, 1.2, ep=4, seed=7)
    wanted = busiest_rank(drawn, 4)[0]
    assert (device_loads(512, 8, 128, ep=4, skew=1.2, seed=7) == wanted).all()


def test_a_layer_is_its_two_grouped_products():
    layer, constants = layer_of([100, 0, 30, 170]), ExpertConstants()
    closed = expert_terms(call_of(layer, *[load_of(layer.loads[None, :])] * 2), H100, constants)
    gate_up, down = routed_runs(layer, H100, constants)
    for product, depth, columns in ((gate_up, 2048, 2048), (down, 1024, 2048)):
        asked = GroupedProduct(
            loads=layer.loads,
            depth=depth,
            columns=columns,
            weight_size=2.0,
            activation_size=2.0,
        )
        assert product.run.seconds == product_run(asked, H100, constants).seconds
        assert product.run.seconds == product_run(asked, H100, constants, product.tile).seconds
        assert product.closed_s == closed[product.name][0]


def test_triton_without_a_tuned_file_takes_its_tile_by_tokens():
    ruled = ExpertConstants(tiling="triton-default")
    assert routed_runs(layer_of([2, 1, 1, 0]), H100, ruled)[0].tile == (16, 32)
    assert routed_runs(layer_of([20, 10, 10, 0]), H100, ruled)[0].tile == (64, 64)


def test_kernels_that_do_not_pack_compute_every_slot_of_what_reaches_the_device():
    layer = layer_of([40, 8, 0, 0], tokens=64, top_k=4)
    whole = ExpertConstants(packing="every-slot")
    packed = routed_runs(layer, H100, whole)[0]
    rows = every_slot(np.array([64.0]), load_of(layer.loads[None, :]), np.array([4.0])).rows[0]
    filled = msgspec.structs.replace(layer, loads=np.array([rows - 8, 8, 0, 0], np.int64))
    assert packed.run.seconds == routed_runs(filled, H100, ExpertConstants())[0].run.seconds
    assert packed.closed_s == routed_runs(filled, H100, ExpertConstants())[0].closed_s


def test_layers_without_a_gate_run_at_their_own_rate_in_both_modes():
    layer, own = layer_of([100, 30, 170], gated=False), ExpertConstants(ungated_rate=0.5)
    for half, full in zip(
        routed_runs(layer, H100, own), routed_runs(layer, H100, ExpertConstants()), strict=True
    ):
        assert half.run.seconds == pytest.approx(2 * full.run.seconds)
        assert half.closed_s == pytest.approx(2 * full.closed_s)


def test_a_split_that_does_not_fit_the_model_is_refused():
    with pytest.raises(BadInput, match="exceeds the 8 experts"):
        routed_layer(model("mixtral-8x7b"), Parallel(dp=16, ep=16), 8)
