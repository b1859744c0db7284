"""Published winners: what is packaged, what stays out, and what is known of each."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from moesaic.base import BadInput
from moesaic.hardware.load import device
from moesaic.kernels.winners.chips import Chip, tuned_devices
from moesaic.kernels.winners.contexts import contexts, contexts_of
from moesaic.kernels.winners.features import TILES
from moesaic.kernels.winners.shapes import Shape, known_shapes, shape_of
from moesaic.measured.tuned_tiles import FOLDER, tuned_tiles
from moesaic.workload.load import model

TABLE = tuned_tiles()
KNOWN = contexts()


def test_nothing_that_is_kept_for_validation_is_packaged():
    devices = set(TABLE.device.tolist())
    assert not any("H200" in name or "GB200" in name for name in devices)
    on_h100 = np.char.startswith(TABLE.device, "H100")
    assert 256 not in TABLE.experts[on_h100]


def test_the_table_has_the_licences_of_its_sources_beside_it():
    assert set(TABLE.source.tolist()) == {"vllm", "sglang"}
    for source in ("vllm", "sglang"):
        assert "Apache License" in (FOLDER / f"LICENSE.{source}").read_text(encoding="utf-8")


def test_every_winner_is_either_of_a_known_shape_or_skipped_and_counted():
    assert KNOWN.won.sum() + KNOWN.skipped == len(TABLE)
    known = known_shapes()
    pairs = zip(KNOWN.experts.tolist(), KNOWN.inter.tolist(), strict=True)
    assert all(pair in known for pair in pairs)


def test_every_device_has_a_class_and_the_figures_of_a_chip():
    for name in set(TABLE.device.tolist()):
        assert tuned_devices()[name].chip().units > 0
    assert set(KNOWN.groups()) == {"H100", "A100", "B200", "L40S", "RTX PRO 6000"}


def test_a_shape_is_a_models_experts_with_their_width_split():
    mixtral = model("mixtral-8x7b")
    shape = Shape(experts=8, inter=3584, hidden=4096, top_k=2, gated=True)
    assert shape_of(mixtral, 4) == shape
    assert shape in known_shapes()[8, 3584]
    with pytest.raises(BadInput, match="must divide the expert width 14336"):
        shape_of(mixtral, 5)


def test_a_fused_shared_expert_is_one_more_that_every_token_takes():
    plain, fused = (
        next(one for one in known_shapes()[count, 192] if one.hidden == 5120 and one.top_k == top)
        for count, top in ((160, 8), (161, 9))
    )
    assert (fused.experts, fused.top_k) == (plain.experts + 1, plain.top_k + 1)


def test_a_chip_leaves_each_block_one_kibibyte_less_than_an_sm_has():
    assert Chip.of(device("a100-80gb-sxm")).shared_bytes == 163 * 1024
    assert Chip.of(device("l40s")).shared_bytes == 99 * 1024


@pytest.mark.parametrize(("name", "words"), [("mi300x", "NVIDIA GPUs only"), ("b300-sxm", "clock")])
def test_a_gpu_that_cannot_be_ranked_for_is_refused(name, words):
    with pytest.raises(BadInput, match=words):
        Chip.of(device(name))


def test_a_strange_device_or_tile_is_refused():
    few = {name: getattr(TABLE, name)[:3] for name in TABLE.__struct_fields__}
    strange = type(TABLE)(**{**few, "device": np.array(["X1"] * 3)})
    with pytest.raises(BadInput, match="no device"):
        contexts_of(strange)
    pair = next(iter(known_shapes()))
    odd = msgspec.structs.replace(
        type(TABLE)(**few),
        tile=np.full((3, 3), 17),
        experts=np.full(3, pair[0]),
        inter=np.full(3, pair[1]),
    )
    with pytest.raises(BadInput, match="no tile"):
        contexts_of(odd)


def test_the_grid_holds_every_tile_that_won():
    assert {tuple(tile) for tile in TABLE.tile.tolist()} <= set(TILES)
