"""A spec is checked whenever it is built, explains its faults, and survives a round trip."""

import msgspec
import pytest

from moesaic.base import BadInput, Positive, Share, Spec
from moesaic.base.spec import build, dump, load


class Engine(Spec, frozen=True, kw_only=True):
    name: str
    power_w: Positive
    share: Share = 1.0
    peaks_flops_per_s: dict[str, Positive] = msgspec.field(default_factory=dict)
    limit_s: Positive | None = None
    sources: dict[str, str] = msgspec.field(default_factory=dict)


def test_a_figure_keeps_its_source_beside_it():
    engine = build(Engine, {"name": "a", "power_w": {"value": "0.7 kW", "source": "a data sheet"}})
    assert engine.power_w == 700
    assert engine.sources == {"power_w": "a data sheet"}


def test_toml_comes_back_equal(tmp_path):
    engine = build(
        Engine,
        {
            "name": "a",
            "power_w": 3,
            "peaks_flops_per_s": {"bf16": {"value": "1 PFLOP/s", "source": "x"}},
        },
    )
    file = tmp_path / "engine.toml"
    file.write_text(dump(engine))
    assert load(Engine, file) == engine


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"power_w": -1}, ["power_w", "> 0", "-1"]),
        ({"power_w": "3 parsec"}, ["power_w", "parsec", "W"]),
        ({"power_w": 1, "share": 1.5}, ["share", "<= 1", "1.5"]),
        ({"power_w": 1, "peaks_flops_per_s": {"bf16": 0}}, ["peaks_flops_per_s", "> 0"]),
        ({"power_w": 1, "colour": "red"}, ["colour"]),
        ({}, ["power_w"]),
        ({"power_w": [1]}, ["power_w"]),
        ({"power_w": float("inf")}, ["power_w"]),
        ({"power_w": float("nan")}, ["power_w"]),
    ],
)
def test_a_fault_names_file_key_and_what_is_allowed(data, words):
    with pytest.raises(BadInput) as fault:
        build(Engine, {"name": "a", **data}, "engine.toml")
    assert all(word in str(fault.value) for word in ["engine.toml", *words])
    assert "\n" not in str(fault.value)


def test_a_struct_built_in_python_is_checked_too():
    with pytest.raises(ValueError, match="power_w"):
        Engine(name="a", power_w=-1)
    with pytest.raises(ValueError, match="limit_s"):
        Engine(name="a", power_w=1, limit_s=0)
    with pytest.raises(ValueError, match=r"peaks_flops_per_s\.bf16"):
        Engine(name="a", power_w=1, peaks_flops_per_s={"bf16": -1.0})


@pytest.mark.parametrize("text", ["a = ", "[[", "\x00", "a = 1\na = 2", "x = " + "[" * 5000])
def test_a_text_that_is_no_toml_is_refused(tmp_path, text):
    file = tmp_path / "broken.toml"
    file.write_text(text)
    with pytest.raises(BadInput, match=r"broken\.toml"):
        load(Engine, file)
