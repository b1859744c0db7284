"""Many points at once: equal to one estimate after another, whatever the model and the split."""

from __future__ import annotations

import functools
import itertools
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from moesaic.base import BadInput
from moesaic.hardware import load as hardware
from moesaic.roofline import bound, fit, operators
from moesaic.roofline.bound import spent_by_resource
from moesaic.roofline.machines import Machines, figures_of
from moesaic.roofline.operators import check
from moesaic.roofline.points import RESOURCES, points
from moesaic.roofline.setups import Setup, regular
from moesaic.workload import Parallel, load, make_step

SYSTEMS = ("dgx-h100", "eight-node-h100", "attacc-2x8", "gb200-nvl72", "mi300x-8", "grace")


@pytest.fixture(scope="module", autouse=True)
def compiled():
    """Compiles once, so that no example below waits for it."""
    one = Setup(model=load.model("mixtral-8x7b"), system=hardware.system("dgx-h100"))
    assert points([one], [0], batch=1).seconds.shape == (1,)


@functools.cache
def setups_of(model: str, system: str, plain: bool) -> list[Setup]:
    """The splits of a model that fit a system; those of the compiled walk only, unless plain."""
    one, other, found = load.model(model), hardware.system(system), []
    for tp, dp, pp in itertools.product((1, 2, 4, 8, 16), range(1, 9), (1, 2, 3)):
        for ep in (d for d in range(1, tp * dp + 1) if tp * dp % d == 0):
            setup = Setup(model=one, system=other, parallel=Parallel(tp=tp, dp=dp, pp=pp, ep=ep))
            try:
                check(one, other, setup.parallel)
            except BadInput:
                continue
            if plain or regular(setup):
                found.append(setup)
    return found


def setups(plain: bool):
    return st.tuples(st.sampled_from(load.names()), st.sampled_from(SYSTEMS)).flatmap(
        lambda named: st.sampled_from(setups_of(*named, plain))
    )


LOADS = st.fixed_dictionaries(
    {
        "batch": st.sampled_from([0, 1, 3, 17, 256]),
        "context": st.integers(0, 9000),
        "prefill": st.sampled_from([0, 0, 7, 900]),
        "cached": st.sampled_from([0, 500]),
        "prefill_requests": st.integers(1, 4),
    }
).filter(lambda asked: asked["batch"] or asked["prefill"])


@settings(max_examples=20, deadline=None)
@given(setups(plain=True), LOADS)
def test_points_equal_operators_followed_by_bound(setup, asked):
    points_are_bounds(setup, asked)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(setups(plain=True), LOADS)
def test_more_points_equal_operators_followed_by_bound(setup, asked):
    points_are_bounds(setup, asked)


def points_are_bounds(setup, asked):
    step = make_step(setup.model, **asked)
    table = operators(setup.model, step, setup.system, setup.parallel)
    held = fit(setup.model, table, setup.system, setup.parallel)
    got = points([setup], [0], **asked)
    assert got.seconds[0] == pytest.approx(bound(table, setup.system).seconds, rel=1e-9)
    assert got.spare_bytes[0] == pytest.approx((held.capacity - held.needed).min(), abs=1.0)
    found = spent_by_resource(table, setup.system)
    spent, wanted = got.by_resource[0], np.array([found.get(name, 0.0) for name in RESOURCES])
    if setup.system.name.startswith("attacc"):
        # At one operation a byte tensor and memory take equally long: rounding names either.
        spent, wanted = (np.append(row[5:], row[:5].sum()) for row in (spent, wanted))
    assert spent == pytest.approx(wanted, rel=1e-9, abs=1e-9 * got.seconds[0])


@st.composite
def machines_of(draw):
    """A setup, two rows of figures of its system, and which of them are asked."""
    setup = draw(setups(plain=False))
    rows = st.lists(st.integers(0, 1), min_size=1, max_size=2)
    return setup, draw(figures(setup.system)), draw(rows)


@st.composite
def figures(draw, system):
    """Two rows of some of a system's figures; all joules, or some of them."""
    varied = {}
    paths = [path for path in figures_of(system) if "peak_flops_per_s" not in path]
    for path in paths:
        value = stated(system, path)
        if path.endswith(("_j_per_byte", "_j_per_flop")):
            if draw(st.integers(0, 7)):
                varied[path] = [draw(st.sampled_from([1e-12, 3e-11])), 2e-12]
        elif value is not None and draw(st.booleans()):
            varied[path] = [value * draw(st.floats(0.1, 10)), value]
    for side in ("device", "device.host"):
        # Of all formats together: the ratio of fp8 to bf16 is checked.
        factor = draw(st.floats(0.1, 10))
        for name, value in (stated(system, f"{side}.peak_flops_per_s") or {}).items():
            varied[f"{side}.peak_flops_per_s.{name}"] = [value * factor, value]
    return {path: np.array(rows) for path, rows in varied.items()}


def twice(model, system, **split):
    """The same with each stated figure, and twice as much of it, and joules of all that moves."""
    named = hardware.system(system)
    setup = Setup(model=load.model(model), system=named, parallel=Parallel(**split))
    columns = {}
    for path in figures_of(named):
        value: Any = stated(named, path)
        if path.endswith(("_j_per_byte", "_j_per_flop")):
            columns[path] = np.array([3e-11, 2e-12])
        elif value is not None:
            columns[path] = np.array([2.0 * value, value])
    return setup, columns, [0, 1]


def stated(system, path):
    node = system.devices[0]
    first, *steps = path.split(".")
    if first == "tiers":
        name = steps.pop(0)
        node = next(tier for tier in system.tiers if tier.name == name)
    for step in steps:
        node = getattr(node, step, None)
    return node


def with_figures(system, values):
    def changed(node, below):
        if isinstance(node, dict):
            return {**node, **below}
        new = {
            name: changed(getattr(node, name), item) if isinstance(item, dict) else item
            for name, item in below.items()
        }
        return msgspec.structs.replace(node, **new)

    tree: dict[str, Any] = {}
    for path, value in values.items():
        *steps, last = path.split(".")
        node = tree
        for part in steps:
            node = node.setdefault(part, {})
        node[last] = float(value)
    device = changed(system.devices[0], tree.get("device", {}))
    tiers = tuple(changed(tier, tree.get("tiers", {}).get(tier.name, {})) for tier in system.tiers)
    return msgspec.structs.replace(system, devices=(device,) * len(system.devices), tiers=tiers)


BOTH = {"batch": 17, "context": 3000, "prefill": 900}
MEMORIES = twice("mixtral-8x7b", "attacc-2x8", tp=8, ep=8)
PIPELINE = twice("mixtral-8x7b", "dgx-h100", tp=2, dp=2, ep=4, pp=2)


@settings(max_examples=12, deadline=None)
@given(machines_of(), LOADS)
@example(MEMORIES, BOTH)
@example(PIPELINE, BOTH)
def test_rows_of_machines_equal_systems_with_these_figures(case, asked):
    setup, columns, rows = case
    rows_are_systems(setup, columns, rows, asked)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(machines_of(), LOADS)
def test_more_rows_of_machines_equal_systems_with_these_figures(case, asked):
    setup, columns, rows = case
    rows_are_systems(setup, columns, rows, asked)


def rows_are_systems(setup, columns, rows, asked):
    """Each row alone is a system of its own: its seconds, bytes to spare, and joules."""
    machines = Machines.of(setup.system, columns)
    got = points([setup], [0] * len(rows), machines=machines, machine=rows, energy=True, **asked)
    step = make_step(setup.model, **asked)
    for i, row in enumerate(rows):
        system = with_figures(setup.system, {path: column[row] for path, column in columns.items()})
        table = operators(setup.model, step, system, setup.parallel)
        estimate, held = bound(table, system), fit(setup.model, table, system, setup.parallel)
        joules = np.nan if estimate.energy_j is None else estimate.energy_j
        assert got.seconds[i] == pytest.approx(estimate.seconds, rel=1e-9)
        assert got.spare_bytes[i] == pytest.approx((held.capacity - held.needed).min(), abs=1.0)
        assert got.energy_j[i] == pytest.approx(joules, rel=1e-9, nan_ok=True)


@pytest.mark.parametrize(
    "split",
    [(1, 16, 16), (2, 8, 4), (4, 4, 16), (8, 2, 8), (1, 8, 8), (1, 13, 13), (2, 7, 14), (2, 3, 3)],
)
def test_points_of_three_tiers_are_equal_too(split, machine, tiny):
    tp, dp, ep = split
    parallel, bare = Parallel(tp=tp, dp=dp, ep=ep), machine(2, 4, 2)
    joules = [path for path in figures_of(bare) if path.endswith(("_per_byte", "_j_per_flop"))]
    values = {path: 1e-12 * (place + 1) for place, path in enumerate(joules)}
    system = with_figures(bare, values)
    setup = Setup(model=tiny(experts=20, top_k=3), system=system, parallel=parallel)
    assert regular(setup)
    for batch, prefill, requests in ((37, 0, 1), (5, 11, 3)):
        step = make_step(
            setup.model, batch=batch, context=9, prefill=prefill, prefill_requests=requests
        )
        estimate = bound(operators(setup.model, step, system, parallel), system)
        got = points(
            [setup], [0], batch=batch, context=9, prefill=prefill, prefill_requests=requests,
            energy=True,
        )  # fmt: skip
        assert got.seconds[0] == pytest.approx(estimate.seconds, rel=1e-9)
        assert got.energy_j[0] == pytest.approx(estimate.energy_j, rel=1e-9)


def test_the_compiled_walk_serves_ordinary_setups():
    """Else the test above would compare the plain path with itself."""
    model, system = load.model("deepseek-v3"), hardware.system("eight-node-h100")
    for split in (
        Parallel(tp=8, ep=8),
        Parallel(tp=2, dp=32, ep=64),
        Parallel(tp=8, dp=4, pp=2),
        Parallel(tp=8, dp=3, ep=24),
        Parallel(tp=1, dp=12, ep=12),
    ):
        assert regular(Setup(model=model, system=system, parallel=split))
    uneven = Setup(model=model, system=system, parallel=Parallel(tp=1, dp=12, ep=12, pp=2))
    assert not regular(uneven)


def test_many_points_are_the_same_as_each_alone():
    model, system = load.model("mixtral-8x7b"), hardware.system("dgx-h100")
    mixed = [
        Setup(model=model, system=system, parallel=Parallel(tp=2)),
        Setup(model=model, system=system, parallel=Parallel(tp=1, dp=3, ep=3)),  # the plain path
        Setup(model=load.model("deepseek-v3"), system=hardware.system("attacc-8")),
    ]
    rng = np.random.default_rng(0)
    index, batch = rng.integers(0, 3, 60), rng.integers(1, 300, 60)
    together = points(mixed, index, batch=batch, context=100)
    for i in range(60):
        alone = points([mixed[index[i]]], 0, batch=batch[i], context=100)
        assert alone.seconds[0] == together.seconds[i]
        assert alone.spare_bytes[0] == together.spare_bytes[i]
    assert together.by_resource.sum(axis=1) == pytest.approx(together.seconds)


def test_the_limiter_is_named():
    setup = Setup(
        model=load.model("mixtral-8x7b"),
        system=hardware.system("dgx-h100"),
        parallel=Parallel(tp=2),
    )
    got = points([setup], [0, 0], batch=[1, 0], context=100, prefill=[0, 8000])
    assert got.limiter() == ["weights from memory", "tensor peak"]


def test_no_point_is_no_answer():
    setup = Setup(model=load.model("mixtral-8x7b"), system=hardware.system("dgx-h100"))
    assert points([setup], np.zeros(0, int), batch=1).seconds.shape == (0,)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"index": [1], "batch": 1}, "index: must lie in 0..0"),
        ({"index": [-1], "batch": 1}, "index: must hold whole numbers"),
        ({"index": [0.5], "batch": 1}, "index: must hold whole numbers"),
        ({"index": [0], "batch": 1.5}, "batch: must hold whole numbers"),
        ({"index": [0], "batch": np.nan}, "batch: must hold whole numbers"),
        ({"index": [0], "batch": np.inf}, "batch: must hold whole numbers"),
        ({"index": [0], "batch": 1, "context": -1}, "context: must hold whole numbers"),
        ({"index": [0], "batch": "many"}, "batch: must hold whole numbers"),
        ({"index": [0, 0], "batch": [1, 2, 3]}, "batch: needs one number or 2"),
        ({"index": [0]}, "computes no token"),
        ({"index": [0], "prefill": 5, "prefill_requests": 0}, "must be at least 1"),
    ],
)
def test_what_is_no_point_is_refused(asked, words):
    setup = Setup(model=load.model("mixtral-8x7b"), system=hardware.system("dgx-h100"))
    with pytest.raises(BadInput, match=words):
        points([setup], asked.pop("index"), **asked)


def test_a_split_that_does_not_fit_its_model_is_refused():
    setup = Setup(
        model=load.model("mixtral-8x7b"),
        system=hardware.system("dgx-h100"),
        parallel=Parallel(tp=3),
    )
    with pytest.raises(BadInput, match="does not divide"):
        points([setup], [0], batch=1)
    wide = Setup(
        model=load.model("mixtral-8x7b"),
        system=hardware.system("h100-4"),
        parallel=Parallel(tp=8),
    )
    with pytest.raises(BadInput, match="needs 8 devices"):
        points([wide], [0], batch=1)


def test_the_peak_of_a_format_that_is_added_serves_the_narrower_ones():
    system = hardware.system("dgx-a100")  # has no fp8: it runs at the rate of bf16
    setup = Setup(model=load.model("deepseek-v3"), system=system)
    assert "fp8" not in system.devices[0].peak_flops_per_s
    path = "device.peak_flops_per_s"
    machines = Machines.joined(
        [
            Machines.of(system, {f"{path}.bf16": [312e12, 624e12]}),
            Machines.of(system, {f"{path}.bf16": 312e12, f"{path}.fp8": 624e12}),
        ]
    )
    got = points([setup], [0] * 4, prefill=4096, machines=machines, machine=[0, 1, 2, 2])
    asked = points([setup], [0], prefill=4096)
    assert got.seconds[0] == asked.seconds[0]
    assert got.seconds[1] < got.seconds[2] < got.seconds[0]
    assert got.seconds[2] == got.seconds[3]


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"device.memory.bandwith_bytes_per_s": 1e12}, "device.memory.bandwidth_bytes_per_s"),
        ({"device.internal_bandwidth_bytes_per_s": 1e12}, "no figure is called"),
        ({"tiers.rack.link.latency_s": 1e-6}, "tiers.node.link.latency_s"),
        ({"device.clock_hz": [1e9]}, "no figure is called"),
        ({"device.energy_j_per_flop": [[1e-12]]}, "must be numbers, one or equally many"),
        ({"device.energy_j_per_flop": ["few"]}, "must be numbers, one or equally many"),
    ],
)
def test_a_figure_that_the_roofline_does_not_read_is_refused(columns, words):
    with pytest.raises(BadInput, match=words):
        Machines.of(hardware.system("dgx-h100"), columns)


def test_machines_that_do_not_fit_their_setups_are_refused():
    one, model = hardware.system("dgx-h100"), load.model("mixtral-8x7b")
    two = hardware.system("two-node-h100")
    wide = Setup(model=model, system=two, parallel=Parallel(tp=8, dp=2))
    with pytest.raises(BadInput, match="1 tiers of links for setups of 2"):
        points([wide], [0], batch=1, machines=Machines.of(one))
    uneven = Setup(model=model, system=two, parallel=Parallel(dp=6, ep=6, pp=2))
    with pytest.raises(BadInput, match="cannot be given apart"):
        points([uneven], [0], batch=1, machines=Machines.of(two))
    narrow = Setup(model=model, system=one)
    with pytest.raises(BadInput, match=r"machine: must lie in 0\.\.0"):
        points([narrow], [0, 0], batch=1, machines=Machines.of(one))
    bare = Machines.of(one)
    bare.peak[:] = 0.0
    with pytest.raises(BadInput, match="has no peak for bf16"):
        points([narrow], [0], batch=1, machines=bare)
