"""Many points at once: equal to one estimate after another, whatever the model and the split."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from moesaic.base import BadInput
from moesaic.hardware import load as hardware
from moesaic.roofline import bound, fit, operators
from moesaic.roofline.bound import spent_by_resource
from moesaic.roofline.points import RESOURCES, points
from moesaic.roofline.setups import Setup, regular
from moesaic.workload import Parallel, load, make_step

SYSTEMS = ("dgx-h100", "eight-node-h100", "attacc-2x8", "gb200-nvl72", "mi300x-8", "grace")


@pytest.fixture(scope="module", autouse=True)
def compiled():
    """Compiles once, so that no example below waits for it."""
    one = Setup(model=load.model("mixtral-8x7b"), system=hardware.system("dgx-h100"))
    assert points([one], [0], batch=1).seconds.shape == (1,)


@st.composite
def setups(draw) -> Setup:
    model = load.model(draw(st.sampled_from(load.names())))
    system = hardware.system(draw(st.sampled_from(SYSTEMS)))
    tp, dp = draw(st.sampled_from([1, 2, 4, 8, 16])), draw(st.integers(1, 8))
    pp = draw(st.integers(1, 3))
    ep = draw(st.sampled_from([d for d in range(1, tp * dp + 1) if tp * dp % d == 0]))
    parallel = Parallel(tp=tp, dp=dp, pp=pp, ep=ep)
    try:
        parallel.check(model)
    except BadInput:
        assume(False)
    assume(parallel.devices <= len(system.devices))
    return Setup(model=model, system=system, parallel=parallel)


LOADS = st.fixed_dictionaries(
    {
        "batch": st.sampled_from([0, 1, 3, 17, 256]),
        "context": st.integers(0, 9000),
        "prefill": st.sampled_from([0, 0, 7, 900]),
        "cached": st.sampled_from([0, 500]),
        "prefill_requests": st.integers(1, 4),
    }
).filter(lambda asked: asked["batch"] or asked["prefill"])


@settings(max_examples=40, deadline=None)
@given(setups(), LOADS)
def test_points_equal_operators_followed_by_bound(setup, asked):
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


@pytest.mark.parametrize("split", [(1, 16, 16), (2, 8, 4), (4, 4, 16), (8, 2, 8), (1, 8, 8)])
def test_points_of_three_tiers_are_equal_too(split, machine, tiny):
    tp, dp, ep = split
    parallel, system = Parallel(tp=tp, dp=dp, ep=ep), machine(2, 4, 2)
    setup = Setup(model=tiny(experts=20, top_k=3), system=system, parallel=parallel)
    assert regular(setup)
    for batch, prefill, requests in ((37, 0, 1), (5, 11, 3)):
        asked = {"batch": batch, "context": 9, "prefill": prefill, "prefill_requests": requests}
        step = make_step(
            setup.model, batch=batch, context=9, prefill=prefill, prefill_requests=requests
        )
        table = operators(setup.model, step, system, parallel)
        got = points([setup], [0], **asked).seconds[0]
        assert got == pytest.approx(bound(table, system).seconds, rel=1e-9)


def test_the_compiled_walk_serves_ordinary_setups():
    """Else the test above would compare the plain path with itself."""
    model, system = load.model("deepseek-v3"), hardware.system("eight-node-h100")
    for split in (Parallel(tp=8, ep=8), Parallel(tp=2, dp=32, ep=64), Parallel(tp=8, dp=4, pp=2)):
        assert regular(Setup(model=model, system=system, parallel=split))
    uneven = Setup(model=model, system=system, parallel=Parallel(tp=1, dp=12, ep=12))
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
