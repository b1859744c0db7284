"""The examples run as they stand and say what they promise."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


def printed(name, *words):
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *words],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_why_is_it_slow_names_the_limiter_and_its_largest_reasons():
    first, *reasons = printed("why_is_it_slow.py").splitlines()
    assert "limited by weights from memory (bound)" in first
    shares = [float(reason.split("%")[0]) for reason in reasons]
    assert len(shares) == 5
    assert shares == sorted(shares, reverse=True)


def test_gpu_kernels_takes_longer_than_the_bound_and_names_the_family():
    first, second, *reasons, family = printed("gpu_kernels.py").splitlines()
    best, whole = (float(re.findall(r"([\d.]+) ms", line)[0]) for line in (first, second))
    assert best < whole < 4 * best
    assert "(simulated)" in second
    assert sum("launch floor" in reason for reason in reasons) >= 1
    assert family.startswith("experts priced as trtllm/")


def test_placement_api_writes_a_balanced_map_that_holds_every_expert(tmp_path):
    out = tmp_path / "map.json"
    said = printed("placement_api.py", str(out))
    gap, worst = (
        float(re.findall(wanted, said)[0]) for wanted in (r"hops ([\d.]+)%", r"worst': ([\d.]+)")
    )
    assert 0 < gap < 25
    assert 1 <= worst < 1.2
    rows = json.loads(out.read_text())["physical_to_logical_map"]
    assert all(sorted(row) == list(range(16)) for row in rows)


def test_million_points_keeps_the_limit():
    first, *machines, drawn = printed("million_points.py").splitlines()
    assert int(first.split()[0]) >= 1_000_000
    assert len(machines) == 9
    assert 0 < int(drawn.split()[0]) < 200_000
    assert all(float(ms) <= 30 for ms in re.findall(r"([\d.]+) ms, context", "\n".join(machines)))


def test_pim_serving_shows_what_a_wider_gang_is_worth():
    rows = printed("pim_serving.py").splitlines()
    steps, rates = (
        [float(re.findall(wanted, row)[0]) for row in rows]
        for wanted in (r"([\d.]+) ms a step", r"([\d.]+) ktoken/s")
    )
    assert steps[1] < steps[0] < 2 * steps[1]
    assert rates[0] < rates[1] < 2 * rates[0]
    assert all(row.endswith("simulated") for row in rows)


def test_dram_streams_shows_that_maps_and_queues_decide():
    first, *lines = printed("dram_streams.py").splitlines()
    assert first.startswith("262144 requests")
    shares = {line.split()[0]: [float(n) for n in re.findall(r"([\d.]+)%", line)] for line in lines}
    assert len(shares) == 8
    assert all(0 < few <= 100 and few < many <= 100 for few, many in shares.values())
    assert shares["access-hashed"][1] > 1.2 * shares["access"][1]


def test_own_kernel_is_built_executed_explained_and_its_lost_barrier_seen():
    pytest.importorskip("cupy", reason="needs cupy and NVRTC: pip install 'moesaic[gpu]'")
    plain, padded, spoilt = printed("own_kernel.py").splitlines()
    assert plain.startswith("plain: right,")
    assert padded.startswith("padded: right,")
    # A column of a tile lies in one bank: 31 more wavefronts for each of 4 x 4 tiles of 32 rows.
    assert f"{31 * 16 * 32} bank conflicts" in plain
    assert "0 bank conflicts in 1024 wavefronts" in padded
    assert spoilt.startswith("without its barrier: faulty, 128: own_kernel.cu:12: ")


def test_fpga_dataflow_names_its_deadlock_and_proves_its_smallest_depths():
    said = printed("fpga_dataflow.py").splitlines()
    assert said[0].startswith("depth 2: 1482 cycles")
    assert "router waits for room in to a (full, 1 of 1), which a reads" in said[1]
    assert [line.endswith("proven: True") for line in said[2:4]] == [True, True]


def test_every_example_has_a_test():
    names = {path.name for path in EXAMPLES.glob("*.py")}
    assert names == set(re.findall(r"\w+\.py", Path(__file__).read_text()))


def test_tuning_api_comes_near_the_optimum_and_times_blocks_of_its_own():
    first, second = printed("tuning_api.py").splitlines()
    assert 0.8 < float(re.findall(r"guided: ([\d.]+)", first)[0]) <= 1
    assert re.fullmatch(r"blocks of (32|128|512) x (32|128|512): \d+ us", second)
