"""Does `moesaic fpga resources` say what a design takes of a board, and refuse one over budget?"""

from __future__ import annotations

import json

import pytest
import typer

from moesaic.base import BadInput
from moesaic.cli.fpga_resources import resources


def run(capsys, *words):
    app = typer.Typer()
    app.command()(resources)
    typer.main.get_command(app).main(list(words), standalone_mode=False)
    return capsys.readouterr().out


def test_every_resource_stands_beside_what_the_board_has(capsys):
    found = json.loads(run(capsys, "ubimoe", "--on", "zcu102", "--json"))
    assert (found["tokens"], found["clock_hz"]) == (197, 300e6)
    rows = {row["resource"]: row for row in found["resources"]}
    assert (rows["DSP"]["takes"], rows["DSP"]["has"]) == (1876, 2520)
    assert (rows["URAM"]["has"], rows["dies"]["takes"]) == (0, 1)
    assert {"BRAM36", "LUT", "FF", "GB/s"} < set(rows)
    assert all(row["takes"] <= row["has"] for row in rows.values())


def test_the_table_tells_shares_and_marks(capsys):
    shown = run(capsys, "edge-moe", "--on", "zcu102", "--clock", "150 MHz")
    assert "edge-moe runs m3vit-tiny on zcu102, 197 tokens, 150 MHz" in shown
    dsp = next(line.split() for line in shown.splitlines() if line.split()[:1] == ["DSP"])
    assert dsp == ["DSP", "852", "2,520", "33.8%", "derived"]
    assert "As if it were of UbiMoE's class" in shown


def test_a_design_over_budget_is_refused_with_every_resource_that_is_short(capsys, tmp_path):
    path = tmp_path / "large.toml"
    path.write_text('design = "ubimoe"\nlinear_units = 6\nport_bits = 512\n')
    with pytest.raises(BadInput) as fault:
        run(capsys, str(path), "--on", "zcu102")
    assert "3,668 of 2,520 DSP (1,148 too many)" in str(fault.value)
    assert "38.4 of 19.2 GB/s (19.2 too many)" in str(fault.value)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("patch_inputs = 48", r"patch_inputs: is 768 where resources are asked for \(got 48\)"),
        ("score_rows = 4", "score_rows: is left out"),
        ("port_bits = 80", "port_bits: must be a multiple of the 32 bits"),
    ],
)
def test_a_design_whose_resources_no_formula_tells_is_refused(capsys, tmp_path, line, says):
    path = tmp_path / "odd.toml"
    path.write_text(f'design = "ubimoe"\n{line}\n')
    with pytest.raises(BadInput, match=says):
        run(capsys, str(path), "--on", "zcu102")
    with pytest.raises(BadInput, match="--clock"):
        run(capsys, "ubimoe", "--on", "zcu102", "--clock", "0 Hz")
