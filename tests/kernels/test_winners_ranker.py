"""The ranking of tiles: its physics, its memory of winners, and its reach on unseen classes."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from moesaic.base import BadInput
from moesaic.hardware.load import device
from moesaic.kernels.winners.chips import Chip
from moesaic.kernels.winners.contexts import contexts, feature_tables
from moesaic.kernels.winners.features import NAMES, TILES, features, row_tiles_of, table, touched
from moesaic.kernels.winners.logit import fit
from moesaic.kernels.winners.prior import chances_elsewhere, frequency_by_batch, log_chances
from moesaic.kernels.winners.ranker import shipped
from moesaic.kernels.winners.ranking import class_of, ranked_tiles, tuned_batches
from moesaic.kernels.winners.score import BATCH, BATCH_KNOWN, RANDOM, RANKER, calibrated, hits
from moesaic.kernels.winners.shapes import Shape
from moesaic.workload.load import model

SHAPE = Shape(experts=16, inter=768, hidden=2048, top_k=4, gated=True)
A100 = device("a100-80gb-sxm")
CHIP = Chip.of(A100)
KNOWN = contexts()
SCORES = {(one.group, one.method): one for one in shipped().scores if one.part == "all"}


def of(name, tokens, tile, shape=SHAPE, chip=CHIP):
    return features(shape, tokens, chip)[name][TILES.index(tile)]


def test_mean_row_tiles_agree_with_drawn_tokens():
    rng = np.random.default_rng(0)
    taken = np.argsort(rng.random((4000, 20, 16)), axis=2)[:, :, :4]
    loads = np.stack([(taken == expert).sum(axis=(1, 2)) for expert in range(16)], axis=1)
    for high in (16, 32):
        drawn = np.ceil(loads / high).sum(axis=1).mean()
        assert row_tiles_of(SHAPE, 20, high) == pytest.approx(drawn, rel=0.01)
    assert touched(SHAPE, 2) == pytest.approx(16 * (1 - 0.75**2))


def test_rows_are_padded_to_the_tile():
    assert of("row padding", 1, (64, 64, 64)) == pytest.approx(np.log2(64))
    assert of("too high", 1, (64, 64, 64)) == pytest.approx(6)
    assert of("too low", 1, (64, 64, 64)) == 0


def test_columns_and_depth_are_padded_to_the_tile():
    odd = msgspec.structs.replace(SHAPE, inter=96)
    assert of("up column padding", 64, (16, 128, 64), odd) == pytest.approx(np.log2(256 / 192))
    assert of("down depth padding", 64, (16, 128, 64), odd) == pytest.approx(np.log2(128 / 96))
    assert of("down column padding", 64, (16, 128, 64), odd) == 0


def test_a_gpu_with_less_shared_memory_holds_fewer_stages():
    l40s = Chip.of(device("l40s"))
    tile = (128, 128, 64)
    assert of("3 stages short", 64, tile) == 0
    assert of("4 stages short", 64, tile, chip=l40s) > 0
    assert 2 ** of("stage", 64, tile, chip=l40s) == pytest.approx(2 * 256 * 64 / (99 * 1024))


def test_features_are_finite_and_have_no_units():
    fast = msgspec.structs.replace(
        CHIP,
        clock_hz=2 * CHIP.clock_hz,
        peak_flops_per_s=2 * CHIP.peak_flops_per_s,
        bandwidth_bytes_per_s=2 * CHIP.bandwidth_bytes_per_s,
    )
    usual = table((SHAPE,), 64, CHIP)
    assert usual.shape == (len(TILES), len(NAMES))
    assert np.isfinite(usual).all()
    # Twice as fast in everything: no tile gains on another.
    assert np.allclose(usual, table((SHAPE,), 64, fast))


def test_the_logit_finds_the_weights_that_made_the_winners():
    rng = np.random.default_rng(1)
    inputs, truth = rng.normal(size=(3000, 6, 3)), np.array([1.0, -0.5, 0.0])
    score = inputs @ truth + rng.gumbel(size=(3000, 6))
    wins = np.eye(6)[score.argmax(axis=1)]
    found = fit(inputs, wins, np.ones(3000), 1e-6)
    assert np.allclose(found, truth, atol=0.08)

    def loss(theta):
        u = inputs @ theta
        return float((np.log(np.exp(u).sum(axis=1)) - (u * wins).sum(axis=1)).mean())

    steps = 1e-3 * np.eye(3)
    assert all(loss(found + step) > loss(found) < loss(found - step) for step in steps)


def test_a_winner_speaks_the_louder_the_nearer_it_is():
    source, wins = np.array([[0.0] * 5, [6.0] + [0.0] * 4]), np.eye(3)[:2]
    asked = np.array([[0.5] + [0.0] * 4, [5.0] + [0.0] * 4])
    near, far = np.exp(log_chances(asked, source, wins, np.ones(2)))
    assert near[0] > near[1] > near[2]
    assert far[1] > far[0]
    assert near.sum() == pytest.approx(1)


def test_frequency_by_batch_counts_just_that_batch_and_breaks_ties_by_all():
    wins = np.eye(3)[[0, 0, 1, 2, 2, 2]]
    scores = frequency_by_batch(np.array([8, 64]), np.array([8, 8, 8, 16, 16, 16]), wins)
    assert np.argsort(-scores[0]).tolist() == [0, 1, 2]
    assert np.argmax(scores[1]) == 2


def test_a_class_learns_nothing_from_itself():
    rows = np.ones(len(KNOWN.group), bool)
    own = KNOWN.group == "L40S"
    won = KNOWN.won.copy()
    won[own] = np.roll(won[own], 7, axis=1)
    changed = chances_elsewhere(msgspec.structs.replace(KNOWN, won=won), rows)
    assert np.array_equal(changed[own], chances_elsewhere(KNOWN, rows)[own])
    assert not np.array_equal(changed[~own], chances_elsewhere(KNOWN, rows)[~own])


def test_equal_scores_share_the_places():
    first, five, ten = hits(np.array([[3.0, 1.0, 1.0, 1.0, 0.0]]))
    assert first.tolist() == [[1, 0, 0, 0, 0]]
    assert five.tolist() == ten.tolist() == [[1, 1, 1, 1, 1]]
    assert np.allclose(hits(np.zeros((1, 80)))[1], 5 / 80)


@pytest.mark.parametrize("group", KNOWN.groups())
def test_the_ranker_beats_the_frequency_by_batch_on_a_class_that_it_never_saw(group):
    ranker, yardstick = SCORES[group, RANKER], SCORES[group, BATCH]
    assert ranker.top5 > yardstick.top5
    assert ranker.top10 > yardstick.top10
    assert ranker.top5 > SCORES[group, BATCH_KNOWN].top5
    assert SCORES[group, RANDOM].top10 == pytest.approx(10 / 80)


def test_the_published_yardsticks_are_beaten():
    assert SCORES["A100", RANKER].top5 > 0.51
    assert SCORES["A100", RANKER].top10 > 0.72
    assert SCORES["L40S", RANKER].top5 > 0.06
    assert SCORES["L40S", RANKER].top10 > 0.31


def test_every_tile_is_ranked_once_with_chances_that_sum_to_one():
    found = ranked_tiles(model("mixtral-8x7b"), A100, 64, 4)
    assert {one.tile for one in found.tiles} == set(TILES)
    chances = [one.chance for one in found.tiles]
    assert chances == sorted(chances, reverse=True)
    assert sum(chances) == pytest.approx(1)


def test_tiles_grow_with_the_batch():
    mixtral = model("mixtral-8x7b")
    few, many = (
        sum(one.chance * one.tile[0] for one in ranked_tiles(mixtral, A100, tokens, 4).tiles)
        for tokens in (4, 4096)
    )
    assert few < 24 < 64 < many


def test_winners_that_were_published_for_the_very_gpu_are_named():
    mixtral = model("mixtral-8x7b")
    assert 64 in tuned_batches(mixtral, A100, 4)
    assert ranked_tiles(mixtral, A100, 64, 4).published
    assert not ranked_tiles(mixtral, A100, 65, 4).published


def test_a_ranking_without_a_class_differs_and_an_unknown_class_is_refused():
    mixtral = model("mixtral-8x7b")
    every, without = (ranked_tiles(mixtral, A100, 64, 4, name) for name in ("", class_of(A100)))
    assert class_of(A100) == "A100"
    assert every.tiles != without.tiles
    with pytest.raises(BadInput, match="class of devices"):
        ranked_tiles(mixtral, A100, 64, 4, "V100")


@pytest.mark.parametrize("tokens", [0, 10**9])
def test_a_batch_that_no_layer_has_is_refused(tokens):
    with pytest.raises(BadInput, match="must be from 1"):
        ranked_tiles(model("mixtral-8x7b"), A100, tokens)


@pytest.mark.slow
def test_the_shipped_constants_and_scores_are_what_the_winners_give():
    again = calibrated(KNOWN, feature_tables(), shipped().command)
    assert again.penalty == shipped().penalty
    assert again.weights == pytest.approx(shipped().weights, rel=0.02, abs=0.01)
    for now, then in zip(again.scores, shipped().scores, strict=True):
        assert (now.group, now.part, now.method) == (then.group, then.part, then.method)
        assert now.top5 == pytest.approx(then.top5, abs=0.01)
