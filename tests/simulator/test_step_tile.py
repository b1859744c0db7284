"""A whole step by its kernels: its reasons add up, to what measured kernels add up to."""

import msgspec
import numpy as np
import pytest

from moesaic.base import BadInput
from moesaic.hardware.load import system
from moesaic.roofline import Efficiency
from moesaic.simulator import estimate
from moesaic.simulator.gpu.choice import choose
from moesaic.simulator.gpu.ladder import REASONS
from moesaic.simulator.gpu.tiles import TILE_ROWS, rank_load
from moesaic.workload import Parallel, make_step
from moesaic.workload.load import model

MIXTRAL, DGX = model("mixtral-8x7b"), system("dgx-h100")
TP2 = Parallel(tp=2)


def priced(batch=64, *, name="mixtral-8x7b", on=DGX, split=TP2, detail="tile", **more):
    found = model(name)
    prefill = more.pop("prefill", 0)
    step = make_step(found, batch=batch, context=2048 if batch else 0, prefill=prefill)
    return estimate(found, step, on, parallel=split, detail=detail, ignore_capacity=True, **more)


@pytest.mark.parametrize(
    ("batch", "summed_ms"),
    [(1, 6.06), (16, 18.0), (64, 20.7), (256, 32.7)],
)
def test_mixtral_takes_what_aiconfigurator_sums_from_measured_kernels(batch, summed_ms):
    # TensorRT-LLM 1.3.0rc20 on two H100, TP2, context 2048: time per token, 'SILICON' mode.
    assert priced(batch).seconds * 1e3 == pytest.approx(summed_ms, rel=0.10)


@pytest.mark.parametrize(
    ("name", "on", "split", "load"),
    [
        ("mixtral-8x7b", "dgx-h100", TP2, {"batch": 16}),
        ("mixtral-8x7b", "dgx-h100", TP2, {"batch": 0, "prefill": 2048}),
        ("deepseek-v3", "dgx-b200", Parallel(dp=8, ep=8), {"batch": 64}),
        ("olmoe-1b-7b", "dgx-a100", Parallel(), {"batch": 8, "prefill": 256}),
    ],
)
def test_the_reasons_add_up_and_lie_above_the_bound(name, on, split, load):
    asked = {"name": name, "on": system(on), "split": split, **load}
    whole, bound = priced(**asked), priced(**asked, detail="bound")
    assert sum(whole.why.values()) == pytest.approx(whole.seconds, rel=1e-12)
    assert whole.seconds > bound.seconds
    assert whole.evidence == "simulated"
    assert any(key.endswith(tuple(REASONS)) for key in whole.why)
    assert whole.interval_s is not None
    low, high = whole.interval_s
    assert low < whole.seconds < high


def test_more_work_never_takes_less_time_and_more_bandwidth_never_more():
    times = [priced(batch).seconds for batch in (1, 2, 4, 8, 16, 32, 64, 128)]
    assert times == sorted(times)
    gpu = DGX.devices[0]
    memory = msgspec.structs.replace(
        gpu.memory, bandwidth_bytes_per_s=gpu.memory.bandwidth_bytes_per_s * 1.5
    )
    wider = msgspec.structs.replace(gpu, memory=memory)
    faster = msgspec.structs.replace(DGX, devices=(wider,) * len(DGX.devices))
    assert priced(on=faster).seconds < priced().seconds


def test_each_framework_runs_its_own_kernels():
    found = {name: priced(kernels=name) for name in ("trtllm", "sglang", "vllm")}
    for name, result in found.items():
        assert result.kernels["experts, experts"].startswith(f"{name}/")
    assert len({result.seconds for result in found.values()}) == 3


def test_what_has_no_tile_model_is_refused():
    with pytest.raises(BadInput, match="no GPU"):
        priced(on=system("local"), split=Parallel())
    with pytest.raises(BadInput, match="trtllm, sglang, vllm"):
        priced(kernels="tgi")
    with pytest.raises(BadInput, match="detail tile"):
        priced(kernels="vllm", detail="bound")
    with pytest.raises(BadInput, match="constants of its own"):
        priced(efficiency=Efficiency(tensor=0.5))


def test_a_gpu_without_constants_gets_the_prior_and_says_so():
    chosen = choose("h200-sxm", "moe", "experts", "bf16")
    assert chosen.family == "prior/bf16"
    assert chosen.low < 1 < chosen.high


def test_layers_without_a_gate_take_kernels_made_for_them():
    gated = choose("h100-sxm", "moe", "experts", "bf16", "trtllm", words=("-nongated",))
    plain = choose("h100-sxm", "moe", "experts", "bf16", "trtllm", words=("nongated",))
    assert "nongated" in plain.family
    assert "nongated" not in gated.family


@pytest.mark.parametrize(
    ("backend", "group", "kind"),
    [
        ("trtllm", 1, "heads-decode"),
        ("trtllm", 8, "gqa-decode"),
        ("trtllm", 64, "heads-decode"),
        ("sglang", 2, "heads-decode"),
        ("sglang", 8, "gqa-decode"),
        ("vllm", 1, "gqa-decode"),
    ],
)
def test_decode_takes_the_kernel_that_the_framework_has_for_its_group_of_heads(
    backend, group, kind
):
    words = ("kv-bf16/heads-decode", "kv-bf16/gqa-decode")
    chosen = choose("l40s", "attention", "attention", "bf16", backend, words=words, group=group)
    assert chosen.family.startswith(f"{backend}/")
    assert chosen.family.endswith(f"kv-bf16/{kind}")


def test_mean_tiles_are_those_of_drawn_tokens():
    tokens, chance = 300, np.array([0.001, 0.02, 0.2, 0.7])
    rng = np.random.default_rng(0)
    drawn = rng.binomial(tokens, chance, size=(20000, 4))
    load = rank_load(np.arange(4), tokens * chance, 1 - (1 - chance) ** tokens, float(tokens), 4)
    for column, height in enumerate(TILE_ROWS):
        wanted = np.ceil(drawn / height).mean(axis=0)
        np.testing.assert_allclose(load.tiles[:, column], wanted, rtol=0.03)


def test_counted_tokens_are_cut_into_tiles_as_they_are():
    loads = np.array([0.0, 1.0, 16.0, 17.0, 128.0, 129.0])
    load = rank_load(np.array([0, 0, 0, 1, 1, 1]), loads, (loads > 0).astype(float), None, 2)
    assert load.rows.tolist() == [17, 274]
    assert load.touched.tolist() == [2, 3]
    assert load.tiles[:, TILE_ROWS.index(16)].tolist() == [2, 2 + 8 + 9]
    assert load.tiles[:, TILE_ROWS.index(128)].tolist() == [2, 1 + 1 + 2]
