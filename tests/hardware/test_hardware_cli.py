"""`moesaic hardware`: the catalogue on the command line."""

import json

import pytest

from moesaic.cli.app import main
from moesaic.hardware.load import CATALOGUE


def run(capsys, *words):
    code = main(["hardware", *words])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_the_list_holds_every_kind_and_name(capsys):
    code, out, _ = run(capsys, "list", "--json")
    rows = json.loads(out)
    assert code == 0
    assert {row["kind"] for row in rows} == {"gpu", "pim", "fpga", "cpu", "link", "system", "dram"}
    assert {"h100-sxm", "duplex", "zcu102", "local", "nvlink4", "gb200-nvl72"} <= {
        row["name"] for row in rows
    }
    code, out, _ = run(capsys, "list", "--kind", "gpu")
    assert (code, "mi300x" in out, "zcu102" in out) == (0, True, False)


def test_every_figure_is_shown_with_its_source(capsys):
    code, out, _ = run(capsys, "show", "h100-sxm")
    assert code == 0
    (line,) = [line for line in out.splitlines() if "memory.bandwidth_bytes_per_s" in line]
    assert "3.35 TB/s" in line
    assert "aiconfigurator" in line


@pytest.mark.parametrize("name", ["nvlink4", "gb200-nvl72", "duplex", "u280"])
def test_a_machine_is_shown_as_json(capsys, name):
    code, out, _ = run(capsys, "show", name, "--json")
    assert code == 0
    assert json.loads(out)["name"] == name


def test_a_sound_file_is_summed_up_and_a_wrong_one_named(capsys, tmp_path):
    text = (CATALOGUE / "system" / "dgx-h100.toml").read_text()
    path = tmp_path / "box.toml"
    path.write_text(text)
    code, out, err = run(capsys, "check", str(path))
    assert (code, "8 x h100-sxm" in out, "is sound" in err) == (0, True, True)
    path.write_text(text.replace("value = 8", "value = 7", 1))
    code, out, err = run(capsys, "check", str(path))
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert "box.toml" in err


@pytest.mark.parametrize(
    "words", [("show", "h101"), ("list", "--kind", "gpus"), ("check", "none.toml"), ("check", "x")]
)
def test_bad_words_end_with_one_sentence_and_code_two(capsys, words):
    code, out, err = run(capsys, *words)
    assert (code, out, err.count("\n")) == (2, "", 1)
