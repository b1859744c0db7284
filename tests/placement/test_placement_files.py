"""The file for SGLang: read back as written, and refused where SGLang would fail."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moesaic.base import BadInput
from moesaic.placement import Placement, Problem, solve, verify
from moesaic.placement.formats import sglang
from moesaic.workload import RoutingCounts


def solved(
    experts: int = 8, ranks: int = 4, layers: tuple[int, ...] = (1, 3)
) -> tuple[Problem, Placement]:
    loads = np.floor(np.random.default_rng(0).lognormal(4, 1, (1, len(layers), experts)))
    problem = Problem.of(RoutingCounts(loads=loads, layers=layers), ranks)
    return problem, solve(problem)


def test_a_placement_comes_back_with_a_certificate_that_still_holds(tmp_path):
    problem, placement = solved()
    sglang.write(tmp_path / "map.json", placement)
    placed, again = sglang.read(tmp_path / "map.json", problem.layers, 8)
    assert (placed.slots == placement.expert_map.slots).all()
    assert (placed.ranks == placement.expert_map.ranks).all()
    assert again is not None
    assert again.method == "lpt-swaps"
    assert verify(problem, again).checked == (1, 3)


def test_the_file_holds_one_key_and_a_row_for_each_layer_of_the_model(tmp_path):
    _, placement = solved()
    sglang.write(tmp_path / "map.json", placement, model_layers=6)
    data = json.loads((tmp_path / "map.json").read_text())
    assert list(data) == ["physical_to_logical_map"]
    rows = data["physical_to_logical_map"]
    assert len(rows) == 6
    assert rows[0] == rows[2] == rows[5] == list(range(8))
    assert rows[3] == placement.expert_map.slots[1].tolist()


def test_a_file_of_others_is_read_when_the_ranks_are_told(tmp_path):
    file = tmp_path / "theirs.json"
    file.write_text('{"physical_to_logical_map": [[1, 0, 3, 2, 0, 1]]}')
    placed, placement = sglang.read(file, (0,), 4, ranks=3)
    assert placement is None
    assert placed.copies().tolist() == [[2, 2, 1, 1]]
    with pytest.raises(BadInput, match="give their number"):
        sglang.read(file, (0,), 4)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"physical_to_logical_map": [[0, 1, 2, 3]], "note": 1}', "nothing else"),
        ('{"physical_to_logical_map": [[0, 1, 2, 3], [0, 1]]}', "equally long rows"),
        ('{"physical_to_logical_map": []}', "equally long rows"),
        ('{"physical_to_logical_map": [[0, 0, 2, 3]]}', "gives expert 1 of layer 0 no slot"),
        ('{"physical_to_logical_map": [[0, 1, 2, 4]]}', "outside 0..3"),
        ('{"physical_to_logical_map": [[0, 1, 2, -3]]}', "below 0"),
        ('{"physical_to_logical_map": [[0, 1, 2, 99999999999]]}', "beyond"),
        ('{"physical_to_logical_map": [[0, 1, 2]]}', "do not share evenly|2 ranks do not"),
        ('{"physical_to_logical_map": [[0, 0, 1, 2, 3, 3]]}', "holds expert 0 of layer 0 twice"),
        ("[[0, 1, 2, 3]]", "as SGLang reads it"),
        ('{"physical_to_logical_map": [[0, 1', "as SGLang reads it"),
    ],
)
def test_what_sglang_would_choke_on_is_refused(tmp_path, text, sentence):
    file = tmp_path / "map.json"
    file.write_text(text)
    with pytest.raises(BadInput, match=sentence):
        sglang.read(file, (0,), 4, ranks=2)


def test_a_layer_that_the_file_lacks_is_named(tmp_path):
    file = tmp_path / "map.json"
    file.write_text('{"physical_to_logical_map": [[0, 1]]}')
    with pytest.raises(BadInput, match="holds 1 layers; layer 2 is asked for"):
        sglang.read(file, (0, 2), 2, ranks=2)


def test_nothing_is_written_for_ranks_of_unequal_size(tmp_path):
    _, placement = solved(experts=7, ranks=3)
    with pytest.raises(BadInput, match="equally many slots"):
        sglang.write(tmp_path / "map.json", placement)
    assert list(tmp_path.iterdir()) == []


def test_wrong_names_and_too_few_layers_write_nothing(tmp_path):
    _, placement = solved()
    with pytest.raises(BadInput, match="a model of 3 has none"):
        sglang.write(tmp_path / "map.json", placement, model_layers=3)
    with pytest.raises(BadInput, match=r"ending \.json"):
        sglang.write(tmp_path / "map.pt", placement)
    assert list(tmp_path.iterdir()) == []


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_mutated_files_give_a_map_or_a_sentence(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("mutated")
    problem, placement = solved()
    sglang.write(folder / "map.json", placement)
    victim = data.draw(st.sampled_from(["map.json", "map.meta.json"]))
    raw = bytearray((folder / victim).read_bytes())
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at : at + data.draw(st.integers(1, 20))] = data.draw(st.binary(max_size=20))
    (folder / victim).write_bytes(bytes(raw))
    try:
        placed, again = sglang.read(folder / "map.json", problem.layers, 8)
        if again is not None:
            verify(problem, again)
    except BadInput:
        return
    assert placed.experts == 8
