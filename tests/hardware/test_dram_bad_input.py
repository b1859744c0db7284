"""A DRAM file that makes no sense is refused in one sentence that says where."""

import re

import pytest

from moesaic.base import BadInput
from moesaic.cli.app import main
from moesaic.hardware import dram_tables
from moesaic.hardware.load import CATALOGUE, dram_config, dram_standard, dram_timing

DRAM = CATALOGUE / "dram"
TIMING = (DRAM / "timing" / "hbm3-6.4-8gb.toml").read_text()
CONFIG = (DRAM / "hbm3_6400_8Gb_16ch2pc_2sid.toml").read_text()
STANDARD = (DRAM / "standard" / "hbm3.toml").read_text()
RULE = '{ level = "bank", before = ["ACT"], after = ["RD"], cycles = "tRCDRD" }'


def refused(load, tmp_path, text):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(BadInput) as caught:
        load(path)
    assert "mine.toml" in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("tRC = 72", "tRC = 70", "tRC.*at least tRAS . tRP = 71, got 70"),
        ("tCL = 20", "", "no timing 'tCL'"),
        ("tRRDL = 5", "", "no timing 'tRRDL'"),
        ("tRRDL = 5", "tRRDL = -1", "cycles.tRRDL: must be a whole number.*got -1"),
        ("tRRDL = 5", "tRRDL = 5.5", "tRRDL"),
        ("tRRDL = 5", 'tRRDL = "5"', "tRRDL"),
        ("tRRDL = 5", "tRRDL = true", "tRRDL"),
        ("tRRDL = 5", "tRRDL = 999999999999999999999999", "tRRDL"),
        ("tRRDL = 5", "tRRDL = { value = { value = 5 } }", "tRRDL"),
        ("tRRDL = 5", "tRRDL = 5\ntRDD = 3", "'tRDD', no HBM3 timing"),
        ("burst_cycles = 2", "burst_cycles = 0", "burst_cycles"),
        ("tREFI = 6240", "tREFI = 400", "leave time for a row"),
        ("banks = 4", "banks = 3", "power of two"),
        ("rows = 16384", "rows = 0", "rows"),
        ("rows = 16384", "rows = 36893488147419103232", "rows"),
        ('"1.6 GHz"', '"1.6 parsec"', "clock_hz.*unit"),
        ('"1.6 GHz"', "nan", "clock_hz"),
        ('"1.6 GHz"', "1e-300", "clock_hz"),
        ("clock_hz = ", "colour = 1\nclock_hz = ", "colour"),
        ('standard = "hbm3"', 'standard = "hbm33"', "no DRAM standard is called 'hbm33'.*hbm3"),
        ('standard = "hbm3"', "standard = 3", "standard"),
        ('kept = ["burst_cycles"', 'kept = ["burst"', "'burst', no HBM3 timing"),
    ],
)
def test_a_timing_set_is_refused(tmp_path, old, new, says):
    assert old in TIMING
    said = refused(dram_timing, tmp_path, TIMING.replace(old, new, 1))
    assert re.search(says, said), said


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('timing = "hbm3-6.4-8gb"', 'timing = "hbm3-6.4-9gb"', "no DRAM timing set.*did you mean"),
        ('timing = "hbm3-6.4-8gb"', "timing = []", "timing"),
        ("pseudo_channels = 2", "ranks = 2", "ranks.*does not exist in HBM3"),
        ("pseudo_channels = 2", "pseudo_channels = 16", "512 banks"),
        ("channels = 16", "channels = 12", "power of two"),
        ("channels = 16", "channels = 1e9", "channels"),
        ("channels = 16", "channels = 16\nclock_hz = 1e300", "clock_hz"),
        ("channels = 16", "channels = 16\nstack_ids = 3", "power of two"),
        ("channels = 16", "channels = 16\nrows = -4", "rows"),
        ("channels = 16", "channels = 16\ncopies = 0", "copies"),
        ('address_map = "', 'address_map = 5 # "', "address_map"),
    ],
)
def test_a_config_is_refused(tmp_path, old, new, says):
    assert old in CONFIG
    said = refused(dram_config, tmp_path, CONFIG.replace(old, new, 1))
    assert re.search(says, said), said


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        (RULE.replace('"bank"', '"bnak"'), "level.*bnak"),
        (RULE.replace('"ACT"', '"ATC"'), "ATC"),
        (RULE.replace('["ACT"]', "[]"), "before"),
        (RULE.replace('["ACT"]', "[" + '"ACT", ' * 5000 + "]"), "before"),
        (RULE.replace("tRCDRD", "tRCDRD * 2"), "joined by"),
        (RULE.replace("tRCDRD", "__import__('os')"), "joined by"),
        (RULE.replace('"RD"', '"REF"'), "channel or rank for PREA and REF"),
        (RULE.replace(" }", ", window = 99 }"), "window"),
        (RULE.replace(" }", ", others = 3 }"), "others"),
        ("3", "rules"),
        (RULE.replace("bank", "channel").replace(" }", ", others = true }"), "others"),
        (RULE.replace(" }", ", others = true, window = 2 }"), "others"),
    ],
)
def test_a_rule_is_refused(tmp_path, rule, says):
    text = STANDARD.replace("[defaults]", f"rules = [{rule}]\n[defaults]")
    said = refused(dram_standard, tmp_path, text)
    assert re.search(says, said), said


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('rule_sets = ["core"', 'rule_sets = ["cor"', "rule_sets.0.*no set of DRAM rules"),
        ("rule_sets = [", "rule_sets = [7, ", "list of names"),
        ("rule_sets = [", 'rule_sets = "core" # [', "list of names"),
        ("ticks_per_cycle = 2", "ticks_per_cycle = 1", "whole ticks"),
        ("ticks_per_cycle = 2", "ticks_per_cycle = 64", "ticks_per_cycle"),
        ('falling_edge = ["PRE"', 'falling_edge = ["PER"', "PER"),
        ('refresh_together = "bank"', 'refresh_together = "banks"', "refresh_together"),
        ('rank_level = "pseudo_channel"', 'rank_level = "slice"', "rank_level"),
        ('tPPD = "0"', 'tPPD = "zero x"', "joined by"),
        ("shared_bus = false", "shared_bus = 1", "shared_bus"),
    ],
)
def test_a_standard_is_refused(tmp_path, old, new, says):
    assert old in STANDARD
    said = refused(dram_standard, tmp_path, STANDARD.replace(old, new, 1))
    assert re.search(says, said), said


def test_a_rule_that_asks_for_an_unknown_timing_names_the_set_that_lacks_it(tmp_path):
    rule = RULE.replace("tRCDRD", "tMINE")
    text = STANDARD.replace("[defaults]", f"rules = [{rule}]\n[defaults]")
    (tmp_path / "own.toml").write_text(text)
    timing = TIMING.replace('standard = "hbm3"', 'standard = "own.toml"')
    assert "no timing 'tMINE'" in refused(dram_timing, tmp_path, timing)


def test_a_distance_between_stack_ids_is_asked_for_only_where_there_are_some(tmp_path):
    (tmp_path / "set.toml").write_text(TIMING.replace("tCCDR = 3\n", ""))
    text = CONFIG.replace('"hbm3-6.4-8gb"', '"set.toml"')
    (tmp_path / "many.toml").write_text(text)
    (tmp_path / "one.toml").write_text(
        text.replace("channels = 16", "channels = 16\nstack_ids = 1")
    )
    assert len(dram_tables(dram_config(tmp_path / "one.toml")).rules)
    with pytest.raises(BadInput, match="no timing 'tCCDR'"):
        dram_tables(dram_config(tmp_path / "many.toml"))


def test_a_file_that_another_names_is_looked_for_beside_it(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(CONFIG.replace('"hbm3-6.4-8gb"', '"other.toml"'))
    with pytest.raises(BadInput, match=r"other\.toml: cannot be read"):
        dram_config(path)


def test_the_command_says_it_in_one_line(tmp_path, capsys):
    path = tmp_path / "mine.toml"
    path.write_text(CONFIG.replace("channels = 16", "channels = 12"))
    assert main(["hardware", "show", str(path)]) == 2
    assert "power of two" in capsys.readouterr().err
    assert main(["hardware", "show", "hbm3_6400_8Gb_16ch2pc_2sid"]) == 0
    assert "tRCDRD" in capsys.readouterr().out
    assert main(["hardware", "list", "--kind", "dram"]) == 0
    assert "h100-sxm-dram" in capsys.readouterr().out
