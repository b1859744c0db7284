"""Does `moesaic fpga rtl` compare what was asked, and say what is wrong with a question?"""

import json

import pytest

from moesaic.cli.app import main
from moesaic.simulator.fpga.rtl.build import simulator
from moesaic.simulator.fpga.rtl.tools import NoSimulator


def test_every_block_asked_for_gets_its_share_of_the_configurations(capsys):
    try:
        simulator()
    except NoSimulator as fault:
        pytest.skip(str(fault))
    assert (
        main(["fpga", "rtl", "--block", "gelu_table,gate_topk", "--configurations", "5", "--json"])
        == 0
    )
    rows = json.loads(capsys.readouterr().out)
    assert [(row["block"], row["configurations"]) for row in rows] == [
        ("gelu_table", 3),
        ("gate_topk", 2),
    ]
    assert all(row["wrong_cycles"] == row["wrong_outputs"] == 0 for row in rows)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--block", "gelu"], "did you mean gelu_table"),
        (["--block", "gelu_table,gelu_table"], "names a block twice"),
        (["--simulator", "icarus"], "known: cxxrtl, verilator"),
    ],
)
def test_a_question_that_makes_no_sense_is_one_sentence(words, why, capsys):
    assert main(["fpga", "rtl", *words]) == 2
    assert why in capsys.readouterr().err
