"""Number formats count the scales of their blocks."""

import pytest

from moesaic.base import BadInput, bytes_of, number_format, unknown


def test_bytes_count_the_scales():
    assert bytes_of("bf16", 1000) == 2000
    assert bytes_of("mxfp4", 32) == 17
    assert bytes_of("nvfp4", 16) == 9
    assert bytes_of("fp8_block", 128 * 128) == 128 * 128 + 4
    assert bytes_of("int4", 128) == 66


def test_weight_only_formats_multiply_at_the_wide_rate():
    assert number_format("int4").compute == "bf16"
    assert number_format("nvfp4").compute == "fp4"


def test_other_names_mean_the_same_format():
    assert number_format("bfloat16") is number_format("bf16")


def test_an_unknown_format_suggests_the_nearest():
    with pytest.raises(BadInput, match="fp8"):
        number_format("fp88")


def test_a_name_far_from_all_lists_them():
    assert "known: a, b" in str(unknown("thing", "zzz", ["b", "a"]))
