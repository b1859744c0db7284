"""Do the statistics give the published numbers of the two recorded traces, to the printed digit?"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moesaic.base import BadInput
from moesaic.workload import RoutingTrace, readers, statistics, synthetic

NAMES = {"mixtral": "tiny_mixtral_E16k2_seed0", "deepseek": "tiny_deepseek_E32k4s1_seed1"}


@pytest.fixture(scope="module", params=list(NAMES))
def named(request, data_folder):
    return request.param, readers.read_npz_trace(data_folder / f"{NAMES[request.param]}.npz")


def test_pooled_imbalance(named):
    name, trace = named
    share = statistics.imbalance(trace.counts().total())
    assert (round(share.mean(), 2), round(share.max(), 1)) == {
        "mixtral": (1.56, 1.7),
        "deepseek": (1.67, 1.9),
    }[name]


def test_imbalance_within_a_domain(named):
    name, trace = named
    share = statistics.imbalance(statistics.loads_by(trace, trace.domain))
    means = share.mean(axis=1)
    # The table prints 1.8 for the least layer of the first trace; it is 1.747.
    assert [round(x, 1) for x in (means.min(), means.max(), share.min(), share.max())] == {
        "mixtral": [2.1, 3.5, 1.7, 4.3],
        "deepseek": [2.2, 2.8, 1.9, 3.3],
    }[name]


def test_imbalance_of_ranks_that_hold_experts_in_order(named):
    name, trace = named
    pooled, by_domain = trace.counts().total(), statistics.loads_by(trace, trace.domain)
    wanted = {
        "mixtral": {4: (1.15, 1.25, 1.49), 8: (1.31, 1.53, 2.28)},
        "deepseek": {4: (1.15, 1.20, 1.34), 8: (1.23, 1.45, 1.62)},
    }[name]
    for ranks, numbers in wanted.items():
        share = statistics.imbalance(statistics.rank_loads(pooled, ranks)).mean()
        domains = statistics.imbalance(statistics.rank_loads(by_domain, ranks)).mean(axis=1)
        assert tuple(round(x, 2) for x in (share, domains.min(), domains.max())) == numbers


def test_affinity_of_adjacent_layers(named):
    name, trace = named
    found = statistics.affinity(trace)
    conditional, marginal, shuffled, information, entropy = {
        "mixtral": (0.414, 0.125, 0.125, 1.45, 3.81),
        "deepseek": (0.352, 0.076, 0.078, 1.84, 4.72),
    }[name]
    assert (round(found.conditional, 3), round(found.marginal, 3)) == (conditional, marginal)
    assert found.shuffled == pytest.approx(shuffled, abs=0.001)
    assert (round(found.information_bits, 2), round(found.entropy_bits, 2)) == (
        information,
        entropy,
    )


def test_prediction_of_the_next_set(named):
    name, trace = named
    assert (
        tuple(round(x, 3) for x in statistics.set_prediction(trace))
        == {
            "mixtral": (0.537, 0.186),
            "deepseek": (0.535, 0.188),
        }[name]
    )


def test_repetition_at_the_next_token(named):
    name, trace = named
    assert (
        round(statistics.repetition(trace).mean(), 3) == {"mixtral": 0.263, "deepseek": 0.262}[name]
    )


def test_prefill_and_decode_are_alike(named):
    name, trace = named
    share = statistics.imbalance(statistics.loads_by(trace, trace.is_decode.astype(int)))
    assert (
        tuple(share.mean(axis=1).round(2))
        == {
            "mixtral": (1.56, 1.60),
            "deepseek": (1.69, 1.70),
        }[name]
    )


@pytest.mark.parametrize(("batch", "share"), [(4, 0.41), (16, 0.84), (64, 0.99)])
def test_experts_touched_by_a_batch(named, batch, share):
    name, trace = named
    drawn, exact = statistics.touched_share(trace, batch, draws=1000)
    share = 0.98 if (name, batch) == ("deepseek", 64) else share
    assert drawn == pytest.approx(share, abs=0.0075)
    assert drawn == pytest.approx(exact, rel=0.01)


@pytest.mark.parametrize(
    ("model", "least", "most"), [("olmoe1b7b", 2.5, 6.2), ("mixtral8x7b", 1.08, 1.33)]
)
def test_recorded_counts_have_the_published_spread(model, least, most, data_folder):
    counts = readers.read_olmoe_counts(data_folder / "olmoe_repo_counts.npz")[model]
    share = statistics.imbalance(counts.loads)
    assert share.min() == pytest.approx(least, abs=0.05)
    assert share.max() == pytest.approx(most, abs=0.05)
    assert counts.loads.sum(axis=2).min() == 208_896 * {"olmoe1b7b": 8, "mixtral8x7b": 2}[model]


def test_fiddler_counts_have_the_published_spread(data_folder):
    parts = readers.read_fiddler_counts(data_folder / "fiddler_mixtral_popularity.json")
    share = np.stack([statistics.imbalance(part.loads) for part in parts.values()])
    means = share.mean(axis=2)
    assert [round(x, 2) for x in (means.min(), means.max(), share.max())] == [1.22, 1.34, 1.76]


small_traces = st.tuples(
    st.integers(1, 30), st.integers(2, 3), st.integers(1, 3), st.integers(0, 99)
).map(lambda c: synthetic.zipf(6, c[2], c[0], c[1], 0.7, c[3]))


@given(small_traces)
def test_pair_counts_equal_the_plain_loop(trace):
    together = np.zeros((len(trace.layers), 6, 6), int)
    after = np.zeros((len(trace.layers) - 1, 6, 6), int)
    for token in trace.expert_ids:
        for layer, ids in enumerate(token):
            for a in ids:
                for b in ids:
                    together[layer, a, b] += 1
                for b in token[layer + 1] if layer + 1 < len(token) else ():
                    after[layer, a, b] += 1
    assert (statistics.co_activation(trace) == together).all()
    assert (statistics.transitions(trace, every=True) == after).all()


@given(small_traces)
def test_information_is_bounded_by_the_entropies(trace):
    joint = statistics.transitions(trace).astype(float)
    information = statistics.mutual_information_bits(joint)
    entropy = statistics.entropy_bits(joint.sum(axis=-2))
    assert (information >= -1e-9).all()
    assert (information <= entropy + 1e-9).all()
    assert (statistics.best_conditional(joint) >= statistics.best_marginal(joint) - 1e-12).all()


def test_closed_forms():
    assert statistics.entropy_bits(np.ones(8)) == pytest.approx(3)
    assert statistics.mutual_information_bits(np.eye(4)) == pytest.approx(2)
    assert statistics.mutual_information_bits(np.ones((4, 4))) == pytest.approx(0)
    assert statistics.best_conditional(np.eye(4)) == 1
    assert statistics.imbalance(np.array([1.0, 1.0, 4.0, 2.0])) == 2
    assert statistics.rank_loads(np.array([[1.0, 2, 3, 4, 5]]), 2).tolist() == [[6, 9]]


def test_repetition_does_not_cross_requests():
    ids = np.array([[[0]], [[1]], [[1]], [[1]]], np.int16)
    requests = np.array([0, 0, 1, 1])
    trace = RoutingTrace(expert_ids=ids, experts=2, layers=(0,), request_id=requests)
    assert statistics.repetition(trace).tolist() == [0.5]


def test_what_one_token_or_one_layer_cannot_tell_is_refused():
    trace = synthetic.uniform(4, 1, 5, 1, seed=1)
    with pytest.raises(BadInput, match="two layers"):
        statistics.affinity(trace)
    with pytest.raises(BadInput, match="two neighbouring"):
        statistics.repetition(trace.select(np.array([2])))
    with pytest.raises(BadInput, match="between 1 and 5"):
        statistics.touched_share(trace, 6)


def test_pairs_of_more_experts_than_memory_holds_are_refused():
    trace = synthetic.uniform(32767, 1, 4, 2, seed=1)
    for table in (statistics.transitions, statistics.co_activation):
        with pytest.raises(BadInput, match="32767 experts"):
            table(trace)
