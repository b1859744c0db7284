"""Duplex beside ours: are headlines read off a study as they are said, and does a study hold?"""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from moesaic.cli.app import main
from moesaic.simulator.serving import Metrics, Spread
from moesaic.sweeps.papers import duplex_study
from moesaic.sweeps.papers.claim import Claim, table
from moesaic.sweeps.papers.duplex_headlines import HEADLINES, over, readable, saved
from moesaic.sweeps.papers.duplex_study import (
    CASES,
    MACHINES,
    ROOFLINE,
    SETUPS,
    TEXT,
    Case,
    Point,
    Run,
    machine_of,
    points,
    rates_of,
    studies,
)
from moesaic.workload import Parallel

TINY = Case("olmoe-1b-7b", "4", (24,), Parallel(tp=4, ep=4), Parallel(tp=4))


def made_up(tokens_per_s, energy_j, latency_s):
    spread = Spread(mean=latency_s, p50=latency_s, p90=latency_s, p99=latency_s)
    return Metrics(
        tokens_per_s=tokens_per_s, requests_per_s=tokens_per_s / 100, ttft_s=spread, tbt_s=spread,
        e2e_s=spread, queueing_s=spread, batch=1.0, mixed_share=0.1, energy_j_per_token=energy_j,
    )  # fmt: skip


@pytest.fixture(scope="module")
def study():
    """Twice the GPU's speed, half its energy and latency for each machine in turn."""
    speeds = dict(zip(MACHINES, (1.0, 2.0, 2.0, 4.0, 4.0, 8.0), strict=True))
    return {
        (point, name): made_up(100 * speed, 1 / speed, 1 / speed)
        for point in points(CASES)
        for name, speed in speeds.items()
    }


def test_throughput_is_that_over_another_machine_at_the_same_point(study):
    assert set(over(study, "+PE+ET").values()) == {8.0}
    assert set(over(study, "+PE+ET", "Bank-PIM").values()) == {4.0}
    assert len(over(study, "Duplex")) == 27


def test_energy_is_what_a_token_saves(study):
    assert set(saved(study).values()) == {0.875}


def test_every_headline_is_read_off_a_whole_study(study):
    read = {headline.metric: headline.read(study) for headline in HEADLINES}
    assert all(np.isfinite(value) for value in read.values())
    assert read["+PE over Duplex, average"] == 1.0
    assert read["+PE+ET over Duplex, maximum"] == 2.0
    assert read["GLaM: median TBT below GPU's, average"] == 0.875
    assert read["GLaM: E2E below 2xGPU's, average"] == 0.75
    assert read["Mixtral: requests/s sustained by +PE+ET, 64 in flight"] == 8.0
    assert read["Mixtral: requests/s of +PE+ET over GPU, 128 in flight"] == 8.0


def test_a_part_of_the_study_reads_only_what_it_covers():
    names = {headline.metric for headline in readable(HEADLINES, points(("Mixtral",)))}
    assert "Duplex over GPU, maximum (Mixtral, 4096)" in names
    assert "+PE+ET over GPU, average" not in names
    assert not any("GLaM" in name for name in names)


def test_twice_the_gpus_stand_in_one_node():
    made = machine_of(CASES["GLaM"], MACHINES["2xGPU"])
    assert len(made.devices) == 16
    assert [tier.size for tier in made.tiers] == [16]


def test_readings_differ_in_what_they_say(monkeypatch):
    made = machine_of(CASES["Mixtral"], MACHINES["Duplex"])
    rates = {setup.name: rates_of(made, setup) for setup in (*SETUPS, ROOFLINE)}
    assert rates["turns"].pim_weights > 1.3 * rates["text"].pim_weights
    assert rates["text"].beside < 0.7 < 0.99 < rates["own bus"].beside
    assert rates["roofline"].share.weights == rates["roofline"].pim_weights == 1


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setitem(duplex_study.CASES, "tiny", TINY)
    return points(("tiny",), (4, 8))


def test_a_study_serves_every_point_on_every_machine(tiny):
    runs = [Run(name) for name in MACHINES]
    found = studies(tiny, runs)[TEXT.name]
    assert set(found) == {(point, name) for point in tiny for name in MACHINES}
    assert all(found[p, "Duplex"].tokens_per_s > found[p, "GPU"].tokens_per_s for p in tiny)
    assert all(metric.energy_j_per_token for metric in found.values())


def test_a_run_is_made_only_where_it_is_wanted(tiny):
    first = tiny[0]
    found = studies(tiny, [Run("GPU"), Run("2xGPU", TEXT, lambda point: point == first)])
    assert [key for key in found[TEXT.name] if key[1] == "2xGPU"] == [(first, "2xGPU")]


def test_peaks_are_never_slower_than_what_memories_leave(tiny):
    found = studies(
        tiny, [Run(name, setup) for name in ("GPU", "+PE") for setup in (TEXT, ROOFLINE)]
    )
    for key, real in found[TEXT.name].items():
        assert found[ROOFLINE.name][key].tokens_per_s > real.tokens_per_s


def test_what_other_readings_give_stands_beside_ours():
    claim = Claim(paper="P", metric="m", unit="x", published=2.0, ours=2.1)
    plain = table([claim])
    both = table([msgspec.structs.replace(claim, span=(1.9, 2.4), roofline=3.0)])
    assert "under other readings" not in plain.columns
    row = dict(zip(both.columns, both.rows[0], strict=True))
    assert row["under other readings"] == "1.90x to 2.40x"
    assert row["plain roofline"] == "3.00x"


def test_points_are_the_papers_models_lengths_and_batches():
    assert len(points(CASES)) == 27
    assert Point("Mixtral", 4096, 32) in points(CASES)


@pytest.mark.slow
def test_a_quick_look_is_answered_with_plots(tmp_path, capsys):
    assert main(["reproduce", "duplex", "--small", "--out", str(tmp_path)]) == 0
    assert "Bank-PIM over GPU (Mixtral, 256, batch 64)" in " ".join(capsys.readouterr().out.split())
    pages = {path.stem for path in tmp_path.rglob("*.png")}
    assert {"duplex-throughput", "duplex-split"} <= pages
