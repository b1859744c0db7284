"""Streams: every byte once, in the order that readers make; layouts; pages; activations."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moesaic.base import BadInput
from moesaic.simulator.memory.layouts import (
    LAYOUTS,
    Expert,
    Reading,
    expert_runs,
    scattered,
    stacked,
)
from moesaic.simulator.memory.streams import Runs, activations, paged_kv
from moesaic.workload.load import model

MIXTRAL, DEEPSEEK = model("mixtral-8x7b"), model("deepseek-v3")
TINY = Expert(lines=(24, 10), line_bytes=(512, 640))
MEBIBYTE = 2**20


def slow_requests(runs, access_bytes):
    """Readers as they would be written in a loop: each takes a tile in turn, then the next run."""
    waiting = list(zip(runs.base.tolist(), runs.size.tolist(), runs.write.tolist(), strict=True))
    held: list[tuple[int, int, bool, int] | None] = [None] * runs.readers
    made = []
    while waiting or any(held):
        for reader in range(runs.readers):
            if held[reader] is None and waiting:
                held[reader] = (*waiting.pop(0), 0)
            if (now := held[reader]) is None:
                continue
            base, size, write, done = now
            end = min(size, done + runs.tile_bytes)
            first, past = (base + done) // access_bytes, -(-(base + end) // access_bytes)
            made += [(access * access_bytes, write) for access in range(first, past)]
            held[reader] = (base, size, write, end) if end < size else None
    return made


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 5000), st.integers(1, 900), st.booleans()), min_size=1),
    st.integers(1, 6),
    st.integers(1, 300),
)
def test_readers_in_turn_are_what_the_loop_makes(rows, readers, tile_bytes):
    base, size, write = zip(*rows, strict=True)
    runs = Runs.of(base, size, write=write, readers=readers, tile_bytes=tile_bytes)
    made = runs.requests(32)
    assert list(zip(made.address.tolist(), made.write.tolist(), strict=True)) == slow_requests(
        runs, 32
    )


def test_two_readers_alternate_tiles_of_two_experts():
    runs = Runs.of([0x6E00000, 0x11A00000], 16 * MEBIBYTE, readers=2, tile_bytes=2048)
    tiles = runs.tiles()
    assert tiles.base[:4].tolist() == [0x6E00000, 0x11A00000, 0x6E00800, 0x11A00800]
    assert runs.bytes == int(tiles.size.sum()) == len(runs.requests(32)) * 32


@settings(deadline=None)
@given(
    st.lists(st.integers(1, 900), min_size=1, max_size=12),
    st.integers(1, 5),
    st.integers(1, 300),
    st.sampled_from([1, 2, 4, 8]),
    st.integers(1, 2000),
)
def test_a_sample_is_parts_of_the_stream(sizes, readers, tile_bytes, parts, part_bytes):
    runs = Runs.of(np.arange(len(sizes)) * 1000, sizes, readers=readers, tile_bytes=tile_bytes)
    sample, whole = runs.sample(parts, part_bytes), runs.tiles()
    assert set(sample.base.tolist()) <= set(whole.base.tolist())
    assert sample.base.size <= parts * readers * (part_bytes // tile_bytes + 1) or np.array_equal(
        sample.base, whole.base
    )


def test_a_sample_has_a_part_in_every_stretch_and_every_other_comes_first():
    parts = Runs.of([0], 8000, tile_bytes=10).sample(8, 20).base.reshape(8, 2)
    assert (parts[:, 1] == parts[:, 0] + 10).all()
    assert (parts // 1000).tolist() == [[i, i] for i in (0, 4, 2, 6, 1, 5, 3, 7)]
    assert np.unique(parts[:, 0] % 1000).size == 8


def test_an_expert_holds_three_matrices():
    assert Expert.of(MIXTRAL).bytes == 3 * 4096 * 14336 * 2
    assert Expert.of(MIXTRAL).lines == (2 * 14336, 4096)
    assert Expert.of(DEEPSEEK).bytes == pytest.approx(3 * 7168 * 2048, rel=1e-3)  # fp8, scales


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("readers", "tile_bytes"), [(1, 256), (3, 128), (4, 1024)])
def test_every_layout_reads_every_byte_of_its_experts_once(layout, readers, tile_bytes):
    reading = Reading(
        bases=stacked(6, TINY.bytes),
        touched=np.array([4, 0, 3]),
        readers=readers,
        tile_bytes=tile_bytes,
        regions=4,
        capacity_bytes=64 * MEBIBYTE,
    )
    runs = expert_runs(TINY, reading, layout)
    tiles = runs.tiles()
    assert runs.bytes == int(tiles.size.sum()) == 3 * TINY.bytes
    order = np.argsort(tiles.base)
    begin, end = (
        tiles.base[order].astype(np.int64),
        (tiles.base.astype(np.int64) + tiles.size)[order],
    )
    assert (begin[1:] >= end[:-1]).all()
    assert end[-1] <= 64 * MEBIBYTE
    assert not tiles.write.any()


def reading(**words):
    return Reading(**{"bases": stacked(4, TINY.bytes), "touched": np.arange(4), **words})


def test_rows_keep_as_many_lines_open_as_make_a_tile():
    tiles = expert_runs(TINY, reading(readers=2, tile_bytes=512), "rows").tiles()
    assert tiles.base[:9].tolist() == [*range(0, 8 * 512, 512), 128]
    assert set(tiles.size.tolist()) == {128}


def test_split_gives_every_reader_a_slice_of_the_same_expert():
    tiles = expert_runs(TINY, reading(readers=4, tile_bytes=256), "split").tiles()
    part = -(-TINY.bytes // 1024) * 256
    assert tiles.base[:4].tolist() == [0, part, 2 * part, 3 * part]


def test_interleaved_experts_stride_over_each_other():
    few = reading(readers=2, tile_bytes=1024, touched=np.array([1, 3]))
    tiles = expert_runs(TINY, few, "interleaved").tiles()
    assert tiles.base[:4].tolist() == [1024, 3072, 5120, 7168]


def test_sliced_experts_stand_in_all_regions():
    four = reading(readers=1, tile_bytes=256, regions=4, capacity_bytes=4 * MEBIBYTE)
    tiles = expert_runs(TINY, four, "sliced").tiles()
    assert (tiles.base[:4] // MEBIBYTE).tolist() == [0, 1, 2, 3]


def test_scattered_blocks_are_aligned_apart_and_drawn_by_the_seed():
    bases = scattered(8, 3 * MEBIBYTE, 64 * MEBIBYTE, seed=1)
    assert not (bases % np.uint64(2 * MEBIBYTE)).any()
    assert np.diff(np.sort(bases)).min() >= 4 * MEBIBYTE
    assert np.array_equal(bases, scattered(8, 3 * MEBIBYTE, 64 * MEBIBYTE, seed=1))
    with pytest.raises(BadInput, match="room for 16"):
        scattered(17, 3 * MEBIBYTE, 64 * MEBIBYTE, seed=1)


def pages(found=MIXTRAL, **words):
    asked = {"requests": 3, "context": 40, "page_tokens": 16, "pool_bytes": 2**26}
    asked |= {"readers": 2, "tile_bytes": 4096, "seed": 0}
    return paged_kv(found, **asked | words)


def test_pages_hold_keys_and_values_of_the_context():
    runs = pages()
    assert runs.bytes == 3 * 40 * 2 * 8 * 128 * 2
    page = 16 * 2 * 8 * 128 * 2
    starts = runs.base.reshape(3, 3, 2)
    assert np.unique(starts[..., 0] // page).size == 9
    assert (starts[..., 1] - starts[..., 0] == page // 2).all()
    assert runs.size.reshape(3, 3, 2)[0].tolist() == [[32768, 32768], [32768, 32768], [16384] * 2]


def test_pages_of_latents_are_one_vector_a_token():
    assert pages(DEEPSEEK).bytes == 3 * 40 * (512 + 64) * 2


def test_pages_that_do_not_fit_are_refused():
    with pytest.raises(BadInput, match="needs 9 pages of 65536 bytes, the pool has room for 1"):
        pages(pool_bytes=100_000)
    with pytest.raises(BadInput, match="needs 0 pages"):
        pages(context=0)


def test_activations_read_one_tile_and_write_one():
    runs = activations(MIXTRAL, tokens=3, start=4096, readers=2, tile_bytes=4096)
    tiles = runs.tiles()
    assert tiles.write.tolist() == [False, True] * 6
    assert int(tiles.size[~tiles.write].sum()) == int(tiles.size[tiles.write].sum()) == 3 * 8192
    assert tiles.base[:4].tolist() == [4096, 4096 + 3 * 8192, 8192, 8192 + 3 * 8192]


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        ({"readers": 0}, "readers"),
        ({"tile_bytes": 0}, "tile_bytes"),
        ({"size": 0}, "at least one byte"),
    ],
)
def test_runs_that_read_nothing_are_refused(words, fault):
    with pytest.raises(BadInput, match=fault):
        Runs.of([0, 64], **{"size": 64, **words})


def test_experts_and_layouts_that_do_not_exist_are_refused():
    with pytest.raises(BadInput, match="must be of the 4 experts"):
        reading(readers=1, tile_bytes=64, touched=np.array([4]))
    with pytest.raises(BadInput, match="did you mean sliced"):
        expert_runs(TINY, reading(readers=1, tile_bytes=64), "slice")
    with pytest.raises(BadInput, match="does not fit 4 experts"):
        expert_runs(
            TINY, reading(readers=1, tile_bytes=64, regions=4, capacity_bytes=8192), "sliced"
        )
