"""The memory core beside Ramulator 2.1 and DRAMsim3 on every recorded run."""

import json

import numpy as np
import pytest

from moesaic.base import BadInput
from moesaic.cli.app import main
from moesaic.hardware.load import dram_config
from moesaic.measured.dram_peers import FOLDER, peer_runs, peer_trace
from moesaic.sweeps.accuracy.dram import LEAST_GAP, TRAITS, beside_peers, peer_configs
from moesaic.sweeps.chapters.dram_peers import facts, peers_section

ONE = "hbm2_2000_4Gb_1pc"
LIMIT = 0.005
"""What is asked of ours in Ramulator's policy; what is found is no difference at all."""


@pytest.fixture(scope="module")
def rows():
    return beside_peers(why=False)


@pytest.fixture(scope="module")
def explained():
    """Reads of one pseudo channel, with their reasons."""
    names = ("stream_read", "rand_read", "rand_idle", "moe_2_2048")
    found = beside_peers([ONE], traces=[f"hbm32B__{name}" for name in names])
    return {row.pattern: row for row in found if row.plain}


def test_every_recorded_run_stands_beside_ours(rows):
    runs = peer_runs()
    assert len(runs) == 152
    assert len(rows) == sum(run.peer == "ramulator2.1" for run in runs) == 87
    assert sum(row.plain for row in rows) == sum(run.peer == "dramsim3" for run in runs) == 65
    assert {row.config for row in rows} == set(peer_configs()) == set(peer_configs("all"))
    assert {(row.refresh, row.queue) for row in rows} == {
        ("all-bank", 32),
        ("off", 32),
        ("all-bank", 128),
    }


def test_ours_in_ramulators_policy_ends_in_its_cycle_on_every_run(rows):
    errors = np.array([row.error("ours", "ramulator") for row in rows])
    assert np.abs(errors).max() <= LIMIT
    np.testing.assert_array_equal(errors, 0)


def test_ours_sends_as_many_of_each_command_and_answers_reads_as_soon(rows):
    for row in rows:
        ours, peer = row.runs["ours"], row.runs["ramulator"]
        assert ours.commands == peer.commands, row
        assert ours.share_of_peak == pytest.approx(peer.share_of_peak)
        assert ours.read_latency_cycles == pytest.approx(peer.read_latency_cycles, abs=6e-4)


@pytest.mark.parametrize(
    "pattern",
    ["stream_read", "stream_read_half", "stream_write", "stride_128", "stride_4096",
     "stride_65536", "rand_read"],
)  # fmt: skip
def test_where_timing_alone_decides_all_three_agree_within_a_percent(rows, pattern):
    (row,) = (r for r in rows if r.plain and (r.config, r.pattern) == (ONE, pattern))
    assert abs(row.error("ours", "dramsim3")) < 0.01
    assert abs(row.error("ours", "ramulator")) < 0.01


@pytest.mark.parametrize("config", ["hbm2_2000_4Gb_1pc", "hbm2_2000_4Gb_16pc"])
def test_an_idle_memory_answers_within_a_cycle_of_both(rows, config):
    (row,) = (r for r in rows if (r.config, r.pattern) == (config, "rand_idle"))
    latencies = [row.runs[who].read_latency_cycles for who in ("ours", "ramulator", "dramsim3")]
    assert np.ptp(latencies) < 1


def test_recorded_shares_follow_from_recorded_cycles(rows):
    told = json.loads((FOLDER / "results.json").read_text())
    shares = {
        (each["trace"], each["config"], each["refresh"], each["r2_queue"]): each["bus_util"]
        for each in told
    }
    for row in rows:
        key = (f"{row.trace}.trace.gz", row.config, row.refresh, row.queue)
        assert row.runs["ramulator"].share_of_peak == pytest.approx(shares[key], abs=1e-5)
        if row.plain:
            other = shares[(*key[:3], None)]
            assert row.runs["dramsim3"].share_of_peak == pytest.approx(other, abs=1e-5)


def test_the_catalogues_memories_are_those_that_the_peers_ran():
    told = json.loads((FOLDER / "configs.json").read_text())
    assert set(told) == set(peer_configs())
    for name, each in told.items():
        config = dram_config(name)
        assert {key: config.timing[key] for key in each["timing_cycles"]} == each["timing_cycles"]
        assert config.address_map == each["address_map_lsb_to_msb"]
        assert config.timing.clock_hz == pytest.approx(1e9 / each["tCK_ns"])


def test_a_gap_between_the_peers_is_closed_by_a_trait_of_dramsim3(explained):
    row = explained["moe_2_2048"]
    assert row.error("ramulator", "dramsim3") > 0.05
    told, _, left = row.why.partition(": ")
    assert set(told.split(" + ")) <= set(TRAITS)
    assert "8 more entries a bank" in told
    assert abs(float(left.removesuffix("% left"))) <= 100 * LEAST_GAP


def test_peers_that_agree_need_no_reason(explained):
    for pattern in ("stream_read", "rand_read", "rand_idle"):
        assert explained[pattern].why == ""


def test_the_table_and_the_plot_show_every_run(rows):
    section = peers_section(rows)
    assert section.evidence == ("simulated",)
    assert sum(len(table.rows) for table in section.tables[:-1]) == len(rows)
    assert len(section.tables[-1].rows) == len(peer_configs())
    assert [facts(row) for row in rows] == section.data
    assert "87 of 87 runs" in section.words[-1]
    titles = [axes.get_title(loc="left") for axes in section.figure.axes]
    assert titles == [*peer_configs(), "Latency of an idle memory"]
    names = [label.get_text() for label in section.figure.axes[0].get_xticklabels()]
    assert names == [row.pattern for row in rows if row.plain and row.config == ONE
                     and row.pattern != "rand_idle"]  # fmt: skip


def test_the_command_shows_a_memory(capsys, tmp_path, monkeypatch, explained):
    monkeypatch.setattr(
        "moesaic.sweeps.accuracy.dram.beside_peers", lambda *a, **k: list(explained.values())
    )
    words = ["compare", "--what", "dram", "--on", ONE]
    assert main([*words, "--json", "--out", str(tmp_path / "out")]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["evidence"] == "simulated"
    assert {row["signed_errors"]["ours to ramulator"] for row in data["rows"]} == {0}
    assert (tmp_path / "out" / "dram-peers.png").exists()
    assert main(words) == 0
    shown = capsys.readouterr()
    assert "moe_2_2048" in shown.out
    assert "none was measured on hardware" in shown.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--on", "hbm2_2000_4Gb_2pc"], "did you mean"),
        (["--on", ONE, "--model", "tile"], "nothing to fit"),
    ],
)
def test_bad_words_are_refused_in_one_sentence(capsys, words, told):
    assert main(["compare", "--what", "dram", *words]) == 2
    shown = capsys.readouterr()
    assert told in shown.err
    assert len(shown.err.strip().splitlines()) == 1


def test_an_unknown_trace_names_the_nearest():
    with pytest.raises(BadInput, match="did you mean hbm32B__stream_read"):
        peer_trace("hbm32B__stream_reed")
