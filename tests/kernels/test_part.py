"""A part: a product of a model's layer as work, at the sizes of a real batch."""

import numpy as np
import pytest

from moesaic.base import BadInput
from moesaic.kernels.library import part as parts
from moesaic.kernels.library.part import draw_rows, part_of
from moesaic.workload import Experts
from moesaic.workload.load import model

MIXTRAL = model("mixtral-8x7b")
QWEN = model("qwen3-30b-a3b")


@pytest.mark.parametrize("tokens", [1, 7, 64, 3000])
def test_each_token_takes_top_k_different_experts(tokens):
    rows = np.array(part_of(QWEN, "gate-up", tokens).shape.rows)
    assert rows.sum() == 8 * tokens
    assert rows.max() <= tokens
    assert len(rows) == 128


def test_both_products_of_a_batch_have_the_same_rows_and_swapped_sizes():
    up, down = (part_of(MIXTRAL, product, 64) for product in ("gate-up", "down"))
    assert up.shape.rows == down.shape.rows
    assert (up.shape.depth, up.shape.columns) == (4096, 14336)
    assert (down.shape.depth, down.shape.columns) == (14336, 4096)
    assert up.fixed == {"DTYPE": 0, "FUSE_SWIGLU": 1, "GATHER": 1}
    assert down.fixed == {"DTYPE": 0, "FUSE_SWIGLU": 0, "GATHER": 0}


def test_weights_are_those_of_the_touched_experts_and_flops_those_of_the_rows():
    one = part_of(MIXTRAL, "gate-up", 1)
    assert one.touched == 2
    assert one.weight_bytes == 2 * 2 * 2 * 4096 * 14336
    assert one.flops == 2 * 2 * 2 * 4096 * 14336
    assert part_of(MIXTRAL, "down", 64).flops == 2 * 128 * 4096 * 14336


def test_the_first_rank_has_its_share_of_the_experts_with_the_rows_of_the_whole_batch():
    whole, share = part_of(QWEN, "down", 256), part_of(QWEN, "down", 256, ep=8)
    assert share.shape.rows == whole.shape.rows[:16]
    assert share.name == "qwen3-30b-a3b down, 256 tokens on one of 8 ranks"
    assert whole.name == "qwen3-30b-a3b down, 256 tokens"


def test_the_seed_alone_decides_the_routing():
    draws = [part_of(MIXTRAL, "down", 64, seed=seed).shape.rows for seed in (0, 0, 1)]
    assert draws[0] == draws[1] != draws[2]


def test_a_batch_drawn_in_pieces_is_the_batch_drawn_at_once(monkeypatch):
    whole = draw_rows(128, 8, 1000, 3)
    monkeypatch.setattr(parts, "DRAWN_AT_ONCE", 96)
    assert draw_rows(128, 8, 1000, 3).tolist() == whole.tolist()


def test_every_expert_is_equally_likely():
    rows = draw_rows(16, 4, 20_000, 0)
    assert np.abs(rows / 5000 - 1).max() < 0.06  # 4.9 standard deviations of a binomial count


def test_the_decode_kernel_takes_the_same_rows():
    one = part_of(MIXTRAL, "gate-up", 4, kernel="decode")
    assert one.kernel.name == "decode"
    assert one.shape.rows == part_of(MIXTRAL, "gate-up", 4).shape.rows


def test_the_layer_of_a_model_is_its_first_with_experts():
    deepseek = model("deepseek-v3")
    assert not isinstance(deepseek.layers[0].ffn, Experts)
    assert part_of(deepseek, "gate-up", 16, ep=8).shape.columns == 2048


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kernel": "route"}, "kernel: no search is made over it; grouped-gemm and decode"),
        ({"ep": 3}, "ep: must divide the 8 experts"),
        ({"ep": 0}, "ep: must divide"),
        ({"tokens": 0}, "tokens: must be from 1 to 1048576"),
        ({"tokens": 10**12}, "tokens: must be from 1 to 1048576"),
        ({"tokens": 1, "ep": 8}, "tokens: the first of 8 ranks has none of them"),
    ],
)
def test_what_is_no_part_is_refused_in_one_sentence(change, words):
    with pytest.raises(BadInput, match=words):
        part_of(MIXTRAL, "gate-up", **{"tokens": 64, **change})
