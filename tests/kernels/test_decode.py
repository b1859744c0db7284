"""decode: the experts' matrices for a few tokens, each weight read once."""

from __future__ import annotations

import numpy as np
import pytest

from moesaic.base import BadInput
from moesaic.kernels import kernel
from moesaic.kernels.library.decode import DecodeShape
from moesaic.kernels.library.formats import DTYPES

DECODE = kernel("decode")


def test_the_launch_depends_on_the_number_of_rows_alone():
    config = DECODE.config("down-4")
    for rows in ((6, 0, 0), (2, 2, 2), (0, 1, 5)):
        launch = DECODE.launch(config, DecodeShape(rows=rows, depth=64, columns=96, more=2))
        assert launch.grid == (96 // (4 * 4), 8, 1)
        assert (launch.threads, launch.shared_bytes) == (128, 0)


@pytest.mark.parametrize(
    ("depth", "columns", "sentence"),
    [(60, 64, "the depth is read by 16 bytes"), (64, 72, "column blocks have no tail")],
)
def test_a_shape_that_the_config_cannot_serve_is_refused(depth, columns, sentence):
    shape = DecodeShape(rows=(1,), depth=depth, columns=columns)
    with pytest.raises(BadInput, match=sentence):
        DECODE.launch(DECODE.config("down-4"), shape)


def test_a_configuration_that_wants_too_many_registers_is_refused():
    with pytest.raises(BadInput, match="fit the registers"):
        DECODE.config({**DECODE.configs["gate-up-8"], "TOKENS": 16})


def test_the_bound_is_the_rounding_of_the_result_and_little_more():
    for name in ("gate-up-4", "down-4-fp16"):
        expected = DECODE.problem(DECODE.config(name), DECODE.shapes["usual"], 0).expected["out"]
        rounding = np.abs(expected.value) * DTYPES[DECODE.config(name)["DTYPE"]].unit
        assert np.median(expected.bound / rounding) < 1.1


@pytest.mark.parametrize("shape", DECODE.shapes)
@pytest.mark.parametrize("name", ["gate-up-1", "gate-up-8-gather-fp16", "down-2"])
def test_the_result_keeps_its_bound(run, name, shape):
    problem, done = run(DECODE, name, shape)
    assert done.faults == ()
    assert problem.expected["out"].excess(done.outputs["out"]) <= 1


def test_rows_of_one_expert_share_one_reading_of_its_weights(run):
    # 1, 2, 5 and 8 rows of four experts: one reading of each expert's weights for up to 8 rows,
    # 1 + 1 + 3 + 4 readings in twos.
    matrix = 128 * 512 * 2
    for name, readings in (("down-8", 4), ("down-2", 1 + 1 + 3 + 4)):
        _, done = run(DECODE, name)
        # One line of the source asks for the weights, and for nothing else.
        assert done.counters.read_bytes["weights"] == 4 * matrix
        streamed = [one.global_bytes for one in done.counters.lines if "primitives" in one.file]
        assert readings * matrix in streamed


def test_fewer_rows_take_narrower_code_to_the_same_bits(run):
    wide, narrow = run(DECODE, "gate-up-8", "shallow"), run(DECODE, "gate-up-2", "shallow")
    np.testing.assert_array_equal(wide[1].outputs["out"], narrow[1].outputs["out"])
    # shallow has two rows at most: the code for eight does the arithmetic of two.
    assert wide[1].counters.mix["float"] == narrow[1].counters.mix["float"]
