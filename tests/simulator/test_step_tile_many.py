"""Thousands of steps by their kernels: each as if it stood alone, device by device."""

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moesaic.hardware.load import system
from moesaic.roofline import Efficiency
from moesaic.roofline.operators import distinct, operators
from moesaic.roofline.prices import prices
from moesaic.roofline.reasons import critical_path, critical_paths
from moesaic.roofline.shapes import Core, Routed
from moesaic.simulator import estimate
from moesaic.simulator.gpu import Machine
from moesaic.simulator.gpu.choice import choose
from moesaic.simulator.gpu.ladder import COLD, REASONS, at_ends, ladder
from moesaic.simulator.step.kernel_calls import Calls, joined, kernels_of, load_on
from moesaic.simulator.step.kernel_times import WITHIN_EXPERTS, Asked, KernelTimes, kernel_times
from moesaic.simulator.step.tiled_many import RESOURCES, Question, tile_many
from moesaic.workload import Parallel, make_step
from moesaic.workload.load import model

PLACES = [
    ("mixtral-8x7b", "dgx-h100", Parallel(tp=8)),
    ("qwen3-30b-a3b", "h100-4", Parallel(dp=4, ep=4)),
    ("gpt-oss-120b", "dgx-b200", Parallel(tp=2, dp=2, ep=4, pp=2)),
    ("deepseek-v3", "two-node-h100", Parallel(dp=16, ep=16)),
    ("jamba-v0.1", "dgx-a100", Parallel(tp=4)),
]


def asked(place, batch, context, prefill=0):
    name, on, split = PLACES[place]
    found = model(name)
    return Question(
        found, make_step(found, batch=batch, context=context, prefill=prefill), system(on), split
    )


QUESTIONS = st.builds(
    asked,
    st.integers(0, len(PLACES) - 1),
    st.integers(1, 300),
    st.integers(0, 20_000),
    st.sampled_from([0, 0, 1, 700]),
)


def one(question, **more):
    model_, step, on, split, homes = question
    words = {"parallel": split, "expert_map": homes, "detail": "tile", **more}
    return estimate(model_, step, on, ignore_capacity=True, **words)


@settings(max_examples=10)
@given(st.lists(QUESTIONS, min_size=1, max_size=4))
def test_many_steps_are_priced_as_one_by_one(questions):
    many = tile_many(questions)
    for i, question in enumerate(questions):
        alone = one(question)
        assert many.seconds[i] == pytest.approx(alone.seconds, rel=1e-12)
        assert (many.low_s[i], many.high_s[i]) == pytest.approx(alone.interval_s, rel=1e-12)
        by_resource = [alone.by_resource().get(name, 0.0) for name in RESOURCES]
        assert many.by_resource[i] == pytest.approx(by_resource, abs=1e-12 * alone.seconds)
        assert many.limiter()[i] == alone.limiter


@settings(max_examples=10)
@given(st.lists(QUESTIONS, min_size=2, max_size=5), st.randoms(use_true_random=False))
def test_an_answer_does_not_depend_on_what_is_asked_beside_it_to_the_last_bit(questions, random):
    order = list(range(len(questions)))
    random.shuffle(order)
    many, shuffled = tile_many(questions), tile_many(questions[i] for i in order)
    np.testing.assert_array_equal(shuffled.by_resource, many.by_resource[order])
    np.testing.assert_array_equal(shuffled.high_s, many.high_s[order])
    last = tile_many(questions[-1:])
    np.testing.assert_array_equal(last.by_resource[0], many.by_resource[-1])


@settings(max_examples=8)
@given(QUESTIONS)
def test_kernels_side_by_side_take_what_each_takes_alone(question):
    model_, step, on, split, _ = question
    table = operators(model_, step, on, split)
    price, _ = prices(table, on, Efficiency())
    (found,) = kernel_times([Asked(table, on, price)])
    assert isinstance(found, KernelTimes)
    rng = np.random.default_rng(0)
    for i in rng.integers(0, len(table.operators), 12).tolist():
        operator, device = table.operators[i], int(rng.integers(table.devices))
        if operator.shape is None or operator.name in WITHIN_EXPERTS or not price.total[i, device]:
            continue
        np.testing.assert_allclose(
            found.seconds[:, i, found.of[device]],
            _alone(operator, on.devices[device], device % table.stage_devices, table),
            rtol=1e-12,
            atol=1e-18,
        )


def _alone(operator, device, place, table):
    """An operator on a device, kernel by kernel: seconds by reason."""
    seconds = np.zeros(len(REASONS))
    load = None
    if isinstance(operator.shape, Routed):
        load = load_on(operator.shape, table.stage_devices)
    for kernel in kernels_of(operator):
        shape = operator.shape
        if isinstance(shape, Core) and not shape.requests[kernel.requests, place]:
            continue
        chosen = choose(
            device.name,
            kernel.table,
            kernel.name,
            operator.dtype,
            words=kernel.words,
            group=kernel.group,
        )
        constants = at_ends(chosen.constants, COLD.get(kernel.name, {}))
        call = joined([Calls(operator, kernel, np.array([place]), load)])
        machine = Machine.of(device, kernel.peak)
        found = ladder(kernel.name, call, machine, constants, np.zeros(1))
        seconds += [float(found[reason][0]) for reason in REASONS]
    return seconds


@settings(max_examples=10)
@given(QUESTIONS, st.integers(0, 2**31))
def test_paths_of_many_steps_are_those_of_each(question, seed):
    table, order = distinct(*question)
    whole = operators(*question)
    assert [table.operators[i].name for i in order] == [op.name for op in whole.operators]
    rng = np.random.default_rng(seed)
    seconds = rng.random((len(table.operators), 3, table.devices))
    paths = critical_paths(table, order, seconds)
    for step in range(3):
        assert paths[step].tolist() == critical_path(whole, seconds[order, step]).tolist()


def test_equal_devices_need_not_be_the_same_object():
    name, on, split = PLACES[1]
    same = system(on)
    apart = msgspec.structs.replace(
        same, devices=tuple(msgspec.structs.replace(device) for device in same.devices)
    )
    step = make_step(model(name), batch=7, context=1000)
    many = tile_many(Question(model(name), step, which, split) for which in (same, apart))
    assert many.by_resource[0].tolist() == many.by_resource[1].tolist()


def test_machines_that_differ_are_priced_by_their_own_figures():
    name, on, split = PLACES[0]
    plain = system(on)
    gpu = plain.devices[0]
    memory = msgspec.structs.replace(
        gpu.memory, bandwidth_bytes_per_s=2 * gpu.memory.bandwidth_bytes_per_s
    )
    wide = msgspec.structs.replace(gpu, memory=memory)
    mixed = msgspec.structs.replace(plain, devices=(gpu,) * 4 + (wide,) * 4)
    step = make_step(model(name), batch=64, context=4096)
    systems = [plain, msgspec.structs.replace(plain, devices=(wide,) * 8), mixed]
    slow, fast, both = tile_many(Question(model(name), step, one, split) for one in systems).seconds
    assert fast < 0.8 * slow  # launches and links stay as they are
    assert both == pytest.approx(slow, rel=1e-3)  # who is slow keeps the others waiting


def test_a_step_without_a_price_says_why_and_leaves_the_others_alone():
    good = asked(0, 64, 4096)
    split = Question(good.model, good.step, good.system, Parallel(tp=7))
    cpu = Question(good.model, good.step, system("local"), Parallel())
    many = tile_many([split, good, cpu])
    assert many.seconds[1] == pytest.approx(one(good).seconds, rel=1e-12)
    assert np.isnan(many.seconds[[0, 2]]).all()
    assert "does not divide" in str(many.faults[0])
    assert "no GPU" in str(many.faults[2])
    assert "trtllm, sglang, vllm" in str(tile_many([good], backend="tgi").faults[0])


@pytest.mark.slow
def test_ten_thousand_steps_take_less_than_a_minute_on_two_cores():
    from time import process_time

    rng = np.random.default_rng(0)
    shapes = rng.integers([0, 1, 256], [4, 513, 16_385], (600, 3))
    tile_many([asked(*shapes[0].tolist())])
    begun = process_time()
    tile_many(asked(*shape) for shape in shapes.tolist())
    assert (process_time() - begun) / 600 < 60 * 2 / 1e4
