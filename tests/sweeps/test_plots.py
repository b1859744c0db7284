"""Do plots show the results they are given, with their evidence, and the same bytes each time?"""

import warnings
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from moesaic.hardware.load import system
from moesaic.roofline import bound, operators
from moesaic.simulator import LANES, estimate, simulate
from moesaic.sweeps.accuracy import compare
from moesaic.sweeps.plots.bars import COLORS, why
from moesaic.sweeps.plots.loads import loads_before_and_after
from moesaic.sweeps.plots.roofline import dots, operators_on_the_roof
from moesaic.sweeps.plots.scatter import predicted_against_measured
from moesaic.sweeps.plots.style import figure, save, svg
from moesaic.sweeps.plots.timeline import lanes
from moesaic.workload import Parallel, make_step
from moesaic.workload.load import model


@pytest.fixture(scope="module")
def mixture():
    return model("olmoe-1b-7b")


@pytest.fixture(scope="module")
def asked(mixture):
    machine = system("h100-sxm")
    steps = [make_step(mixture, batch=batch, context=512) for batch in (1, 64)]
    return [(f"batch {i}", estimate(mixture, step, machine)) for i, step in enumerate(steps)]


def axes_of(made: Figure) -> Any:
    """Its axes, of which the checkers know too little to read data back."""
    return made.axes


def texts(made):
    from matplotlib.text import Text

    return " ".join(text.get_text() for text in made.findobj(Text))


def test_why_shows_seconds_and_shares_that_fill_the_step(asked):
    made = why(asked, "title")
    left, right = axes_of(made)
    shown = left.collections[0].get_offsets()
    assert shown[:, 0].tolist() == pytest.approx([1e3 * estimate.seconds for _, estimate in asked])
    widths = np.array([[bar.get_width() for bar in group] for group in right.containers])
    assert widths.sum(axis=0) == pytest.approx(
        [100, 100], abs=0.05
    )  # the rest under 0.05 % has no bar
    by_name = dict(zip([group.get_label() for group in right.containers], widths, strict=True))
    for i, (_, one) in enumerate(asked):
        for name, seconds in one.by_resource().items():
            if name in by_name:
                assert by_name[name][i] == pytest.approx(100 * seconds / one.seconds)


def test_a_resource_has_its_own_colour_and_every_resource_has_one(asked):
    from moesaic.roofline import reasons

    assert len(set(COLORS.values())) == len(COLORS)
    names = {getattr(reasons, name) for name in dir(reasons) if name.isupper()}
    assert {name for name in names if isinstance(name, str)} == set(COLORS)


def test_dots_lie_under_the_roof_and_their_shares_make_the_step(asked):
    gpu = system("h100-sxm").devices[0]
    for _, one in asked:
        found = dots(one)
        for dot in found:
            roof = min(dot.intensity * gpu.memory.bandwidth_bytes_per_s, gpu.peak("bf16"))
            assert dot.rate <= roof * (1 + 1e-9)
        assert 0.9 < sum(dot.share for dot in found) <= 1 + 1e-9


def test_the_roof_is_drawn_at_the_peak_and_the_slope_is_the_bandwidth(asked):
    machine = system("h100-sxm")
    axes = axes_of(operators_on_the_roof(asked, machine, "title"))[0]
    x, y = axes.lines[0].get_data()
    gpu = machine.devices[0]
    assert y[0] / x[0] == pytest.approx(gpu.memory.bandwidth_bytes_per_s)
    assert y[-1] == gpu.peak("bf16")
    drawn = {tuple(c.get_offsets()[0]) for c in axes.collections}
    assert {(dot.intensity, dot.rate) for _, one in asked for dot in dots(one)} == drawn


def test_lanes_show_the_intervals_of_the_first_devices(mixture):
    machine, split = system("dgx-h100"), Parallel(dp=8, ep=8)
    table = operators(mixture, make_step(mixture, batch=64, context=512), machine, split)
    timeline = simulate(table, machine)
    made = lanes(timeline, "title", devices=2, layers=1)
    (axes,) = axes_of(made)
    ends = [bar.get_x() + bar.get_width() for group in axes.containers for bar in group]
    assert max(ends) >= axes.get_xlim()[1] * (1 - 1e-9)
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == [f"device {d} {lane}" for d in range(2) for lane in LANES]
    assert "simulated" in texts(made)
    assert timeline.seconds <= bound(table, machine).seconds * (1 + 1e-9)


def test_loads_stand_over_their_mean_on_one_scale():
    before, after = np.array([[1.0, 3.0], [2.0, 2.0]]), np.array([[2.0, 2.0], [1.5, 2.5]])
    made = loads_before_and_after(before, after, ("a", "b"), "title")
    first, second = (axes.images[0] for axes in axes_of(made)[:2])
    assert first.get_array().tolist() == [[0.5, 1.5], [1, 1]]
    assert first.get_clim() == second.get_clim() == (0.5, 1.5)
    assert axes_of(made)[2].lines[0].get_xdata().tolist() == [1.5, 1]
    assert axes_of(made)[2].lines[1].get_xdata().tolist() == [1, 1.25]


def test_loads_that_are_all_equal_can_be_drawn():
    even = np.ones((2, 4))
    made = loads_before_and_after(even, even, ("a", "b"), "title")
    assert axes_of(made)[0].images[0].get_clim()[0] < 1


def test_the_scatter_shows_rows_in_their_band_and_the_median_error():
    held = compare("gemm", "a100-80gb-sxm")
    made = predicted_against_measured(held, "title", seed=1)
    left, right = axes_of(made)
    dots_ = np.concatenate([c.get_offsets() for c in left.collections[1:]])
    assert len(dots_) == 6000
    rows = set(zip(held.measured_s * 1e6, held.predicted_s * 1e6, strict=True))
    assert {tuple(dot) for dot in dots_.tolist()} <= rows
    few = held.tokens == 1
    error = held.predicted_s[few] / held.measured_s[few] - 1
    line = right.lines[1]
    assert line.get_xdata()[0] == 1
    assert line.get_ydata()[0] == pytest.approx(np.median(error))
    shown = texts(made)
    assert "bound" in shown
    assert "measured-published" in shown


def test_files_are_the_same_bytes_each_time(tmp_path, asked):
    paths = [tmp_path / f"{i}{suffix}" for suffix in (".png", ".svg") for i in range(2)]
    for path in paths:
        save(why(asked, "title"), path)
    png, again, vector, repeated = (path.read_bytes() for path in paths)
    assert png == again
    assert vector == repeated
    assert png.startswith(b"\x89PNG")
    assert svg(why(asked, "title")) == svg(why(asked, "title"))


def test_names_of_users_are_no_formulas_and_no_markup(asked):
    hostile = r"$\frac{$ <script>alert(1)</script> -- 日本"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawn = svg(why([(hostile, asked[0][1])], hostile))
    assert "<script" not in drawn
    assert "<metadata" not in drawn


def test_log_scales_read_powers_without_formulas(asked):
    made = why([("a", asked[0][1])], "title")
    svg(made)
    ticks = [tick.get_text() for tick in axes_of(made)[0].get_xticklabels(which="both")]
    assert any("10" in tick or "×" in tick for tick in ticks)
    assert not any("$" in tick or "mathdefault" in tick for tick in ticks)


def test_ticks_that_a_plot_sets_itself_stay():
    with figure() as (made, axes):
        axes.plot([16, 64], [1, 2])
        axes.set_xscale("log")
        axes.set_xticks([16, 64], ["16", "64"])
    svg(made)
    assert [tick.get_text() for tick in axes_of(made)[0].get_xticklabels()] == ["16", "64"]
