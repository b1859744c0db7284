"""What designs take of a board: by hand, monotone, refused with every resource that is short."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moesaic.base import BadInput
from moesaic.hardware import Fpga
from moesaic.hardware.load import device, names
from moesaic.simulator.fpga.coefficients import COEFFICIENTS
from moesaic.simulator.fpga.points import Points
from moesaic.simulator.fpga.precision import PRECISIONS, precision
from moesaic.simulator.fpga.resources import (
    MARKS,
    Shape,
    bram_blocks,
    budgets,
    check,
    excess,
    lut_ram,
    stored,
    uram_blocks,
    usage,
)
from moesaic.workload.load import model


def board(name) -> Fpga:
    found = device(name)
    assert isinstance(found, Fpga)
    return found


SHAPE = Shape.of(model("m3vit-tiny"), 197)
DEFAULTS: dict[str, Any] = {"clock_hz": 300e6, "lanes": 8, "queries": 4, "copies": 1}
DEFAULTS |= {"tin": 16, "tout": 16, "units": 3}


def points(form="w16a32", **change: Any):
    return Points(precision=PRECISIONS[form], **DEFAULTS | change)


def test_dsp_of_ubimoe_by_its_equation_2():
    taken = usage(points(), SHAPE, board("zcu102"))
    assert taken.attention.dsp == (2 * 4 * 8 + 7 * 3) * 4
    assert taken.linear.dsp == 2 * 16 * 16 * 3
    assert taken.total.dsp == 340 + 1536
    assert usage(points(copies=3), SHAPE, board("zcu102")).total.dsp == 3 * 340 + 1536


@pytest.mark.parametrize(
    ("form", "attention", "linear"), [("w16a32", 64, 2), ("int16", 16, 1), ("int8", 8, 0.5)]
)
def test_a_narrower_format_takes_fewer_dsp(form, attention, linear):
    taken = usage(points(form, queries=2), SHAPE, board("zcu102"))
    assert taken.attention.dsp == attention * 2 + 7 * 3 * 2
    assert taken.linear.dsp == linear * 16 * 16 * 3


def test_the_model_of_m3vit_sizes_the_buffers():
    assert (SHAPE.width, SHAPE.heads, SHAPE.experts) == (192, 3, 16)
    assert SHAPE.matrices == {(192, 192), (192, 768), (768, 192), (192, 384), (384, 192)}


def test_block_ram_comes_in_halves_of_18_kbit():
    assert bram_blocks(36, 512) == 0.5
    assert bram_blocks(36, 513) == 1.0
    assert bram_blocks(1, 16384) == 0.5
    assert bram_blocks(4096, 576) == 114
    assert uram_blocks(72, 4096) == 1
    assert uram_blocks(73, 4097) == 4


def test_shallow_buffers_lie_in_lut_and_never_in_both():
    depth = np.arange(1, 200)
    assert ((bram_blocks(64, depth) > 0) == (lut_ram(64, depth) == 0)).all()
    assert lut_ram(64, 64) == 64


@given(
    name=st.sampled_from(["queries", "copies", "tin", "tout", "units", "lanes"]),
    on=st.sampled_from(["zcu102", "u200", "kv260"]),
    form=st.sampled_from(sorted(PRECISIONS)),
)
def test_more_of_anything_never_takes_fewer_dsp_logic_or_wires(name, on, form):
    less = usage(points(form), SHAPE, board(on))
    doubled: dict[str, Any] = {name: 2 * DEFAULTS[name]}
    more = usage(points(form, **doubled), SHAPE, board(on))
    for field in ("dsp", "ff"):
        assert getattr(less.total, field) <= getattr(more.total, field)
    assert less.bandwidth <= more.bandwidth
    assert less.dies <= more.dies
    assert less.wires <= more.wires


@given(width=st.integers(1, 40_000), depth=st.integers(1, 9000), more=st.integers(0, 99))
def test_stored_bits_always_cost_something_and_more_of_a_kind_never_less(width, depth, more):
    one, wider, deeper = stored(width, depth), stored(width + more, depth), stored(width, 2 * depth)
    assert one.bram36 > 0 or one.lut > 0
    assert one.bram36 <= wider.bram36
    assert one.lut <= wider.lut
    assert one.bram36 <= deeper.bram36
    # Words that LUT no longer hold move to block RAM as a whole.
    assert one.lut <= deeper.lut or deeper.bram36 > 0


@pytest.mark.parametrize("on", ["zcu102", "u55c"])
@given(tin=st.integers(1, 96), tout=st.integers(1, 96), form=st.sampled_from(sorted(PRECISIONS)))
@settings(max_examples=40)
def test_every_bit_of_weights_has_a_place(on, tin, tout, form):
    """36 kbit of block RAM, 288 of UltraRAM and 64 bits of LUT hold both matrices at least."""
    linear = usage(points(form, tin=tin, tout=tout, units=1), SHAPE, board(on)).linear
    bits = 2 * 768 * 192 * PRECISIONS[form].weight_bits
    assert linear.bram36 * 36 * 1024 + linear.uram * 288 * 1024 + linear.lut * 64 >= bits


def test_a_shallow_buffer_of_weights_moves_from_block_ram_to_lut():
    deep, shallow = (
        usage(points("int16", tin=48, tout=tout), SHAPE, board("zcu102")).linear
        for tout in (32, 48)
    )
    assert deep.bram36 - shallow.bram36 > 600
    logic = (48 * 48 - 48 * 32) * 3 * (16 + 16 + 8)
    assert shallow.lut - deep.lut - logic >= 2 * 48 * 48 * 16


def test_a_memory_below_one_gigabyte_a_second_is_a_budget_like_any_other():
    zcu102 = board("zcu102")
    memory = msgspec.structs.replace(zcu102.memory, bandwidth_bytes_per_s=0.5e9)
    slow, asked = msgspec.structs.replace(zcu102, memory=memory), points(clock_hz=12.5e6)
    taken = usage(asked, SHAPE, slow)
    assert float(excess(taken, asked, slow)) == pytest.approx(0.8 / 0.5 - 1)
    with pytest.raises(BadInput, match=r"0\.8 of 0\.5 GB/s"):
        check(asked, SHAPE, slow)


def test_weights_lie_in_ultraram_where_the_board_has_enough():
    without = usage(points(), SHAPE, board("zcu102")).total
    with_ = usage(points(), SHAPE, board("u55c")).total
    assert without.uram == 0
    assert with_.uram == 2 * 57 + 2 * 8
    assert without.bram36 - with_.bram36 == 2 * 114 + 2 * float(bram_blocks(256, 197 * 24))


def test_a_design_spans_as_many_dies_as_its_dsp_need():
    u200 = board("u200")
    assert u200.die_dsp == (2275, 1317, 2275)
    for units, dies in ((3, 1), (4, 2), (8, 2), (9, 3)):
        taken = usage(points(units=units), SHAPE, u200)
        assert int(taken.dies) == dies, int(taken.total.dsp)
        assert (taken.wires > 0) == (dies > 1)


def test_a_design_inside_its_budgets_has_no_excess_and_one_outside_has():
    zcu102 = board("zcu102")
    changes: tuple[dict[str, Any], ...] = ({}, {"units": 5}, {"lanes": 16}, {"clock_hz": 350e6})
    for change in changes:
        asked = points(**change)
        taken = usage(asked, SHAPE, zcu102)
        over = [name for name, (need, have) in budgets(taken, asked, zcu102).items() if need > have]
        assert (float(excess(taken, asked, zcu102)) > 0) == bool(over)
        assert bool(over) == bool(change)


def test_a_design_over_budget_is_refused_with_every_resource_and_by_how_much():
    check(points(), SHAPE, board("zcu102"))
    with pytest.raises(BadInput) as fault:
        check(points(units=6, lanes=16), SHAPE, board("zcu102"))
    said = str(fault.value)
    assert said.startswith("zcu102: cannot hold the design: it needs ")
    assert "3,668 of 2,520 DSP (1,148 too many)" in said
    assert "38.4 of 19.2 GB/s (19.2 too many)" in said
    assert "BRAM36" not in said


def test_a_design_across_dies_keeps_to_the_clock_that_wires_allow():
    with pytest.raises(BadInput, match="300 of 250 MHz across dies"):
        check(points(units=6), SHAPE, board("u200"))
    check(points(units=6, clock_hz=250e6), SHAPE, board("u200"))
    with pytest.raises(BadInput, match="DSP of one die"):
        check(points(units=1, tin=48, tout=48, clock_hz=250e6), SHAPE, board("u200"))


@pytest.mark.parametrize("name", names("fpga"))
def test_every_board_says_how_many_dies_it_has(name):
    found = board(name)
    assert "dies" in found.sources
    assert (found.die_wires > 0) == (found.dies > 1)


def test_dies_that_do_not_add_up_are_refused():
    with pytest.raises(ValueError, match="must give 3 dies the 5867 DSP"):
        msgspec.structs.replace(board("u200"), die_dsp=(1, 2, 3))


def test_every_resource_has_a_mark():
    zcu102, asked = board("zcu102"), points()
    found = budgets(usage(asked, SHAPE, zcu102), asked, zcu102)
    assert set(found) == set(MARKS)


def test_every_constant_says_where_it_is_from():
    constants: tuple[Any, ...] = (*COEFFICIENTS.values(), *PRECISIONS.values())
    for each in constants:
        assert each.mark in ("published", "derived", "assumed")
        assert each.source
    with pytest.raises(BadInput, match="did you mean int8"):
        precision("int-8")
