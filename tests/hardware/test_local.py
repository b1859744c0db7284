"""This machine as a Cpu: measured, bounded in time, and honest about what it is."""

import pytest

from moesaic.base.spec import dump
from moesaic.hardware import local
from moesaic.hardware.figures import figures


def test_every_figure_of_this_machine_says_that_it_was_measured_here(probed):
    stated = figures(probed)
    assert {figure.path for figure in stated} >= {
        "cores",
        "memory.capacity_bytes",
        "memory.bandwidth_bytes_per_s",
        "peak_flops_per_s.fp32",
    }
    assert all(figure.source.startswith("measured-here") for figure in stated)


def test_all_cores_are_no_slower_than_one(probed):
    assert probed.peak_flops_per_s["fp32"] >= (probed.core_flops_per_s or 0.0)
    assert probed.cores == local.usable_cores()


def test_the_rates_are_those_of_a_computer(probed):
    assert 1e9 < probed.peak_flops_per_s["fp32"] < 1e14
    assert 1e8 < probed.memory.bandwidth_bytes_per_s < 1e13
    assert 1e8 < probed.memory.capacity_bytes < 1e14


def test_the_processor_is_read_from_its_own_description(tmp_path):
    told = tmp_path / "cpuinfo"
    told.write_text("processor\t: 0\nmodel name\t: Some CPU: 9\nflags\t: fpu avx2 fma\n")
    assert local.processor(told) == ("Some CPU: 9", ["fpu", "avx2", "fma"])


def test_a_machine_without_proc_still_has_a_name(tmp_path):
    name, flags = local.processor(tmp_path / "none")
    assert name
    assert flags == []


def test_a_broken_cache_is_probed_again(tmp_path, monkeypatch, probed):
    monkeypatch.setenv("MOESAIC_CACHE", str(tmp_path))
    monkeypatch.setattr(local, "probe", lambda *_: probed)
    local.local_cpu()
    (kept,) = (tmp_path / "local").iterdir()
    assert kept.read_text() == dump(probed)
    kept.write_text("cores = -1")
    assert local.local_cpu() == probed
    assert kept.read_text() == dump(probed)


def test_the_best_of_the_repeats_is_within_the_budget():
    assert local._best_s(lambda: None, 0.01) < 0.01
    assert local._best_s(lambda: None, 0.0) == pytest.approx(0.0, abs=0.01)
