"""moesaic dram: what it prints, what it writes, and one sentence for what cannot be."""

import json

import numpy as np
import pytest

from moesaic.base import parquet
from moesaic.cli.app import main
from moesaic.simulator.memory import Requests, write_requests

CONFIG = "hbm3_6400_4Gb_1ch2pc"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MOESAIC_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def trace(tmp_path):
    file = tmp_path / "some.trace.gz"
    draw = np.random.default_rng(0)
    addresses = draw.integers(0, 2**24, 4000, dtype=np.uint64) & ~np.uint64(31)
    write_requests(file, Requests.of(addresses, draw.random(4000) < 0.3, np.arange(4000)))
    return str(file)


def asked(capsys, *words):
    assert main(["dram", *words]) == 0
    return capsys.readouterr().out


def test_the_list_shows_memories_timing_sets_and_standards(capsys):
    data = json.loads(asked(capsys, "list", "--json"))
    assert set(data) == {"memories", "timing_sets", "standards"}
    one = next(row for row in data["memories"] if row["memory"] == CONFIG)
    assert one["peak_bytes_per_s"] == pytest.approx(51.2e9)
    assert all(row["source"] != "-" for row in data["timing_sets"] + data["standards"])
    assert "51.2 GB/s" in asked(capsys, "list")


def test_the_map_says_where_an_address_lies(capsys):
    words = ("map", "--config", CONFIG, "off:5 pc:1 bg:1 co:2 bg:1 co:3 ba:2^ro ro:14")
    data = json.loads(asked(capsys, *words, "--address", "0x40,1024", "--json"))
    assert data["addresses"] == [
        {"address": "0x40", "off": 0, "pc": 0, "bg": 1, "ba": 0, "co": 0, "ro": 0},
        {"address": "0x400", "off": 0, "pc": 0, "bg": 0, "ba": 0, "co": 4, "ro": 0},
    ]
    assert "ro 0-1" in asked(capsys, *words)


def test_a_run_tells_time_bandwidth_latency_and_energy(capsys, trace, tmp_path):
    words = ("run", "--config", CONFIG, "--trace", trace, "--policy", "ramulator")
    facts = json.loads(asked(capsys, *words, "--json", "--out", str(tmp_path / "facts.json")))
    assert facts == json.loads((tmp_path / "facts.json").read_text())
    assert facts["requests"] == facts["commands"]["RD"] + facts["commands"]["WR"] == 4000
    assert facts["bandwidth_bytes_per_s"] == pytest.approx(4000 * 32 / facts["seconds"])
    assert facts["seconds"] == pytest.approx(facts["cycles"] * 0.625e-9)
    for since in ("accepted", "arrival"):
        cycles, seconds = facts["read_latency_cycles"][since], facts["read_latency_s"][since]
        assert cycles["p50"] <= cycles["p90"] <= cycles["p99"] <= cycles["max"]
        assert seconds["p50"] == pytest.approx(cycles["p50"] * 0.625e-9)
    assert facts["energy_j"] == pytest.approx(facts["commands"]["ACT"] * 0.909e-9 + 4000 * 0.891e-9)
    assert facts["evidence"] == "simulated"
    told = asked(capsys, *words)
    assert all(word in told for word in ("cycles", "GB/s", "row hits", "p99", "pJ/bit", "ns)"))


def test_options_change_the_policy(capsys, trace):
    words = ("run", "--config", CONFIG, "--trace", trace, "--json")
    plain, *others = (
        json.loads(asked(capsys, *words, *more))["cycles"]
        for more in (
            (), ("--queue", "1"), ("--refresh", "off"), ("--scheduler", "fcfs"),
            ("--row-policy", "closed"), ("--row-policy", "timeout", "--timeout", "50"),
            ("--front", "in-order"), ("--map", "off:5 bg:2 co:5 ba:2 ro:14 pc:1"),
        )
    )  # fmt: skip
    assert plain not in others


@pytest.mark.slow
def test_recorded_commands_keep_the_rules_and_a_broken_one_is_told(capsys, trace, tmp_path):
    file = tmp_path / "commands.parquet"
    asked(capsys, "run", "--config", CONFIG, "--trace", trace, "--record", str(file))
    assert json.loads(asked(capsys, "check", "--config", CONFIG, str(file), "--json"))["ok"]
    columns = parquet.read(
        file, dict.fromkeys(("tick", "channel", "command", "bank", "row"), "int")
    )
    first_read = int(np.flatnonzero(columns["command"] == 3)[0])
    columns["tick"][: first_read + 1] = 2 * np.arange(first_read + 1)
    parquet.write(file, columns, {"config": CONFIG, "refresh": "all-bank"})
    assert main(["dram", "check", "--config", CONFIG, str(file)]) == 1
    assert "tRCDRD" in capsys.readouterr().err


def test_efficiency_tells_the_best_map_and_draws_it(capsys, tmp_path):
    words = ["efficiency", "--config", CONFIG, "--model", "qwen3-30b-a3b", "--queue", "8,32"]
    words += ["--maps", "access,line-hashed", "--layout", "contiguous,split"]
    table, plot = tmp_path / "rows.parquet", tmp_path / "map.png"
    rows = json.loads(asked(capsys, *words, "--json", "--out", str(table), "--plot", str(plot)))
    assert len(rows) == 8
    assert {row["map"] for row in rows} == {"access", "line-hashed"}
    assert parquet.read(table, {"queue": "int"})["queue"].tolist() == [r["queue"] for r in rows]
    assert plot.read_bytes().startswith(b"\x89PNG")
    worst = {
        name: min(r["share_of_peak"] for r in rows if r["map"] == name)
        for name in ("access", "line-hashed")
    }
    assert main(["dram", *words]) == 0
    best = max(worst, key=lambda name: worst[name])
    assert f"best map on {CONFIG}: {best}, never below" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ("0 R 0\n1 X 20\n", "line 2: must read"),
        ("5 R 0\n4 R 20\n", "line 2: goes back in time"),
        ("0 R 20000000\n", "address: lies beyond the 536870912 bytes"),
        ("", "holds no request"),
    ],
)
def test_a_bad_trace_ends_in_one_sentence(capsys, tmp_path, lines, sentence):
    file = tmp_path / "bad.trace"
    file.write_text(lines)
    out = tmp_path / "facts.json"
    words = ["dram", "run", "--config", CONFIG, "--trace", str(file), "--out", str(out)]
    assert main(words) == 2
    told = capsys.readouterr()
    assert sentence in told.err
    assert not told.out
    assert not out.exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--config", "hbm3_6400_4Gb_1ch", "--trace", "TRACE"), "hbm3_6400_4Gb_1ch2pc"),
        (("--trace", "none.trace"), "no such file"),
        (("--trace", "TRACE", "--policy", "ramulater"), "did you mean ramulator"),
        (("--trace", "TRACE", "--scheduler", "fr-fcf"), "--scheduler"),
        (("--trace", "TRACE", "--row-policy", "timeout"), "timeout_cycles"),
        (("--trace", "TRACE", "--queue", "0"), "read_queue"),
        (("--trace", "TRACE", "--map", "off:5 pc:1 bg:2 co:5 ba:2 ro:15"), "repeats bits of ro"),
    ],
)
def test_bad_words_of_a_run_end_in_one_sentence(capsys, trace, words, sentence):
    given = [trace if word == "TRACE" else word for word in words]
    config = () if "--config" in words else ("--config", CONFIG)
    assert main(["dram", "run", *config, *given]) == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("map", "--config", CONFIG, "--address", "zz"), "--address"),
        (("map", "--config", CONFIG, "--address", "-32"), "address: must lie in"),
        (("map", "--config", CONFIG, "off:5"), "misses bits of pc"),
        (("check", "--config", CONFIG, "none.parquet"), "is missing"),
        (("efficiency", "--config", CONFIG, "--model", "mixtral-8x7b", "--layout", "row"), "rows"),
        (("efficiency", "--config", CONFIG, "--model", "mixtral-8x7b", "--maps", "lines"), "line"),
        (("efficiency", "--config", CONFIG, "--model", "mixtral-8x7b", "--queue", "0"), "queues"),
        (("efficiency", "--config", CONFIG, "--model", ","), "--model"),
    ],
)
def test_other_bad_words_end_in_one_sentence(capsys, words, sentence):
    assert main(["dram", *words]) == 2
    assert sentence in capsys.readouterr().err


def test_commands_of_another_memory_are_refused(capsys, trace, tmp_path):
    file = str(tmp_path / "commands.parquet")
    asked(capsys, "run", "--config", CONFIG, "--trace", trace, "--record", file)
    assert main(["dram", "check", "--config", "hbm2_2000_4Gb_1pc", file]) == 2
    assert f"was recorded on {CONFIG}" in capsys.readouterr().err
