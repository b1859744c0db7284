"""Does `moesaic fpga fifo` size an accelerator's FIFOs, and say how sure it is?"""

import json

import pytest

from moesaic.cli.app import main

ASK = ["fpga", "fifo", "ubimoe", "--tokens", "9", "--layers", "1"]


def test_the_scores_of_a_row_need_room_for_all_its_keys(capsys):
    assert main([*ASK, "--fifos", "scores, row_max", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["safe"]["depths"] == {"scores": 9, "row_max": 1}
    assert found["safe"]["proven"]
    assert found["safe"]["proof"].startswith("proven: no cheaper vector")
    assert found["in_time"]["cycles"] <= found["cycles"]
    assert found["in_time"]["depths"]["scores"] >= 9
    assert found["safe"]["evidence"] == "simulated"


def test_depths_in_time_never_cost_more_than_the_designs_own(capsys):
    assert main([*ASK, "--fifos", "k.read.data,v.read.data,q.read.data,scores"]) == 0
    shown = capsys.readouterr().out
    bits = next(line.split() for line in shown.splitlines() if line.strip().startswith("bits in"))
    own, safe, in_time = map(int, bits[-3:])
    assert safe <= in_time <= own
    assert "In time: not proven: with ports in turn at memory" in shown


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--fifos", "sores"], "sores"),
        (["--tokens", "9,10"], "must be one number"),
        (["--cycles", "9" * 30, "--fifos", "scores"], "must lie between 1 and"),
        (["--layers", "13"], "between 1 and 12"),
        (["--runs", "0"], "must be at least 1"),
        (["--cycles", "10", "--fifos", "scores"], "with FIFOs without bound"),
    ],
)
def test_what_cannot_be_sized_is_told(capsys, words, why):
    assert main([*ASK, *words]) == 2
    assert why in capsys.readouterr().err
