"""Boosted trees as plain data: the sum of the leaves that a call reaches; hostile files refused."""

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moesaic.base import BadInput, parquet
from moesaic.simulator.gpu.trees import LEAF, Trees, load_trees, save

PAIR: dict[str, Any] = {
    "names": ("waves", "rows"),
    "roots": np.array([0, 5]),
    # waves <= 2 ? (rows <= 1 ? 10 : 20) : 30, and a tree of one leaf
    "feature": np.array([0, 1, LEAF, LEAF, LEAF, LEAF], np.int16),
    "number": np.array([2.0, 1.0, 10.0, 20.0, 30.0, 0.5]),
    "skip": np.array([4, 2, 0, 0, 0, 0], np.int32),
}


def slow(trees, features):
    """One call and one tree at a time, as the docstring of the struct says it."""
    values = []
    for call in features:
        value = 0.0
        for root in trees.roots:
            node = root
            while trees.feature[node] != LEAF:
                left = call[trees.feature[node]] <= trees.number[node]
                node += 1 if left else trees.skip[node]
            value += trees.number[node]
        values.append(value)
    return np.array(values)


@st.composite
def forests(draw):
    """Trees of random forms over three features."""
    nodes: list[tuple[int, float, int]] = []
    roots: list[int] = []

    def put(depth):
        at = len(nodes)
        nodes.append((LEAF, draw(st.floats(-5, 5)), 0))
        if depth and draw(st.booleans()):
            put(depth - 1)
            skip = len(nodes) - at
            put(depth - 1)
            nodes[at] = (draw(st.integers(0, 2)), draw(st.floats(-5, 5)), skip)

    for _ in range(draw(st.integers(1, 4))):
        roots.append(len(nodes))
        put(4)
    feature, number, skip = zip(*nodes, strict=True)
    return Trees(
        names=("a", "b", "c"),
        roots=np.array(roots),
        feature=np.array(feature, np.int16),
        number=np.array(number),
        skip=np.array(skip, np.int32),
    )


def test_a_call_gets_the_sum_of_the_leaves_that_it_reaches():
    calls = np.array([[2.0, 1.0], [2.0, 1.1], [2.1, 0.0]])
    assert Trees(**PAIR)(calls).tolist() == [10.5, 20.5, 30.5]


@settings(max_examples=40, deadline=None)
@given(forests(), st.integers(0, 1000))
def test_the_fast_walk_equals_the_slow_one(trees, seed):
    calls = np.random.default_rng(seed).uniform(-6, 6, (300, 3))
    assert trees(calls).tolist() == slow(trees, calls).tolist()


@settings(max_examples=10, deadline=None)
@given(forests())
def test_a_file_gives_the_same_trees_back(tmp_path_factory, trees):
    file = tmp_path_factory.mktemp("trees") / "t.parquet"
    trees = msgspec.structs.replace(trees, about={"data": "drawn", "command": "pytest"})
    save(trees, file)
    again = load_trees(file)
    assert again.names == trees.names
    assert again.about == trees.about
    for name in ("roots", "feature", "number", "skip"):
        assert (getattr(again, name) == getattr(trees, name)).all()


@pytest.mark.parametrize(
    ("name", "value", "word"),
    [
        ("skip", np.array([0, 2, 0, 0, 0, 0], np.int32), "later node"),  # to itself: for ever
        ("skip", np.array([-1, 2, 0, 0, 0, 0], np.int32), "later node"),  # back
        ("skip", np.array([5, 2, 0, 0, 0, 0], np.int32), "later node"),  # into the next tree
        ("skip", np.array([10**6, 2, 0, 0, 0, 0], np.int32), "later node"),  # out of the file
        ("feature", np.array([0, 1, LEAF, LEAF, LEAF, 1], np.int16), "later node"),
        ("feature", np.array([2, 1, LEAF, LEAF, LEAF, LEAF], np.int16), "features"),
        ("feature", np.array([-2, 1, LEAF, LEAF, LEAF, LEAF], np.int16), "features"),
        ("number", np.array([np.nan, 1.0, 10.0, 20.0, 30.0, 0.5]), "finite"),
        ("number", np.array([2.0, 1.0, np.inf, 20.0, 30.0, 0.5]), "finite"),
        ("number", np.ones(5), "equally many"),
        ("roots", np.array([0, 6]), "rise"),
        ("roots", np.array([1, 5]), "rise"),
        ("roots", np.array([], np.int64), "rise"),
        ("names", ("rows", "rows"), "different"),
        ("names", (), "different"),
    ],
)
def test_arrays_that_are_no_trees_are_refused(name, value, word):
    with pytest.raises(BadInput, match=word):
        Trees(**{**PAIR, name: value})


def nodes(**changed):
    columns = {"tree": np.zeros(3, np.int32), "feature": np.array([0, -1, -1], np.int16)}
    columns |= {"number": np.array([0.0, 1.0, 2.0]), "skip": np.array([2, 0, 0], np.int32)}
    return {**columns, **changed}


@pytest.mark.parametrize(
    ("columns", "about", "word"),
    [
        (nodes(skip=np.array([0, 0, 0], np.int32)), {"names": '["a"]'}, "later node"),
        (nodes(skip=np.array([2**40, 0, 0])), {"names": '["a"]'}, "32 bits"),
        (nodes(feature=np.array([70000, -1, -1])), {"names": '["a"]'}, "16 bits"),
        (nodes(tree=np.array([1, 1, 1], np.int32)), {"names": '["a"]'}, "without a gap"),
        (nodes(tree=np.array([0, 2, 2], np.int32)), {"names": '["a"]'}, "without a gap"),
        (nodes(number=np.array([np.nan, 1, 2])), {"names": '["a"]'}, "finite"),
        (nodes(number=np.array(["a", "b", "c"], object)), {"names": '["a"]'}, "must hold float"),
        (nodes(), {"names": "[1]"}, "names no features"),
        (nodes(), {"names": "{"}, "names no features"),
        (nodes(), {}, "names no features"),
        ({"tree": np.zeros(1, np.int32)}, {"names": '["a"]'}, "lacks the column"),
    ],
)
def test_a_hostile_file_is_refused_with_its_name(tmp_path, columns, about, word):
    file = tmp_path / "hostile.parquet"
    parquet.write(file, columns, about)
    with pytest.raises(BadInput, match=word) as fault:
        load_trees(file)
    assert "hostile.parquet" in str(fault.value)


def test_what_is_no_such_file_is_refused(tmp_path):
    (tmp_path / "text.parquet").write_text("PAR1 and no more")
    with pytest.raises(BadInput, match="no readable Parquet"):
        load_trees(tmp_path / "text.parquet")
    with pytest.raises(BadInput, match="cannot be read"):
        load_trees(tmp_path / "missing.parquet")
    (tmp_path / "vast.parquet").write_bytes(bytes(17 * 2**20))
    with pytest.raises(BadInput, match="at most"):
        load_trees(tmp_path / "vast.parquet")


def test_features_without_a_number_are_refused():
    with pytest.raises(BadInput, match="finite"):
        Trees(**PAIR)(np.array([[1.0, np.nan]]))
    with pytest.raises(ValueError, match=r"\[calls, 2\]"):
        Trees(**PAIR)(np.ones((4, 3)))
