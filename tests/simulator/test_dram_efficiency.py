"""Efficiency of a memory: closed forms of streams, samples that settle, what is kept, tables."""

import msgspec
import numpy as np
import pytest

from moesaic.base import BadInput, parquet
from moesaic.hardware import Memory, System, Tier
from moesaic.hardware.load import dram_config, dram_names
from moesaic.hardware.load import link as load_link
from moesaic.hardware.load import system as load_system
from moesaic.simulator import estimate
from moesaic.simulator.memory import (
    AddressMap,
    Cells,
    Controller,
    Demand,
    Expert,
    Row,
    Runs,
    best_map,
    efficiency_table,
    maps_of,
    memory_efficiency,
    sampled,
    system_efficiency,
    write_table,
)
from moesaic.simulator.memory import efficiency as module
from moesaic.workload import make_step
from moesaic.workload.load import model

ONE = dram_config("hbm2_2000_4Gb_1pc")
SIXTEEN = dram_config("hbm2_2000_4Gb_16pc")
MIXTRAL = model("mixtral-8x7b")
SMALL = Expert(lines=(2048, 512), line_bytes=(1024, 2048))


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MOESAIC_CACHE", str(tmp_path / "cache"))


def stream(size=2**26, **words):
    return Runs.of([0], size, **words)


def test_a_stream_reaches_the_peak_but_for_refresh():
    lost = ONE.timing["tRFC"] / ONE.timing["tREFI"]
    found = sampled(ONE, Controller(), stream())
    assert 1 - lost - 0.02 < found.share_of_peak <= 1 - lost
    assert sampled(ONE, Controller(refresh="off"), stream()).share_of_peak > 0.98
    assert found.row_hit_rate == pytest.approx(1 - 1 / 32, abs=0.015)


def test_energy_of_a_stream_is_a_read_and_its_part_of_an_activate():
    config = dram_config("hbm3_6400_4Gb_1ch2pc")
    energy = config.timing.energy
    found = sampled(config, Controller(), stream())
    assert energy.read_j is not None
    assert energy.activate_j is not None
    each = energy.read_j + (1 - found.row_hit_rate) * energy.activate_j
    assert found.energy_j_per_bit == pytest.approx(each / 256)


@pytest.mark.parametrize("readers", [1, 3, 16])
def test_the_rate_has_settled(readers):
    bases = np.arange(16, dtype=np.uint64) * np.uint64(2**21 + 1024 * 37)
    runs = Runs.of(bases, 2**21, readers=readers)
    found = sampled(SIXTEEN, Controller(), runs)
    whole = module._once(SIXTEEN, Controller(), runs.tiles())
    assert found.moved <= module.MOVES
    assert whole.share_of_peak == pytest.approx(found.share_of_peak, rel=0.02)


def test_the_steady_rate_leaves_out_the_ends():
    even = np.arange(1.0, 80_001) * 2
    slow = np.concatenate([np.linspace(1, 3000, 300), 3000 + even, 400_000 + even[:100]])
    assert module._steady(even, 1000) == pytest.approx(0.5, abs=1e-4)
    assert module._steady(slow, 1000) == pytest.approx(0.5, rel=1e-3)


def test_a_stream_shorter_than_refresh_is_taken_as_it_is():
    found = sampled(ONE, Controller(), stream(4096))
    assert found.requests == 128
    assert found.moved == 0
    assert 0.5 < found.share_of_peak < 1


def test_what_was_computed_is_not_computed_again(monkeypatch, tmp_path):
    first = sampled(ONE, Controller(), stream())
    with monkeypatch.context() as patch:
        patch.setattr(module, "simulate", None)
        assert sampled(ONE, Controller(), stream()) == first
        with pytest.raises(TypeError):
            sampled(ONE, Controller(read_queue=33), stream())
        with pytest.raises(TypeError):
            sampled(SIXTEEN, Controller(), stream())
        with pytest.raises(TypeError):
            sampled(ONE, Controller(), stream(tile_bytes=1024, readers=2))
    (kept,) = (tmp_path / "cache" / "memory").glob("*.json")
    kept.write_text("{")
    assert sampled(ONE, Controller(), stream()) == first


@pytest.mark.parametrize("name", dram_names())
def test_every_memory_has_eight_maps_that_fit_it(name):
    config = dram_config(name)
    texts = maps_of(config)
    assert list(texts)[4:] == [f"{name}-hashed" for name in list(texts)[:4]]
    addresses = np.random.default_rng(0).integers(0, config.capacity_bytes, 200, dtype=np.uint64)
    for text in texts.values():
        address_map = AddressMap.parse(text, config)
        back = address_map.encode(address_map.decode(addresses))
        access = np.uint64(config.organisation.access_bytes)
        assert np.array_equal(back, addresses // access * access)


def test_hashing_spreads_aligned_experts_over_banks():
    rows = efficiency_table(
        SIXTEEN,
        Controller(),
        {"small": (SMALL, 16)},
        Cells(queues=(32,), layouts=("contiguous",)),
        {
            name: maps_of(SIXTEEN)[name]
            for name in ("line", "line-hashed", "access", "access-hashed")
        },
    )
    share = {row.map: row.share_of_peak for row in rows}
    assert share["line-hashed"] > 2 * share["line"]
    assert share["access-hashed"] > 2 * share["access"]


def test_a_table_goes_over_every_combination_and_into_a_file(tmp_path):
    over = {name: maps_of(ONE)[name] for name in ("access", "row")}
    cells = Cells(queues=(8, 32), layouts=("split", "rows"), readers=(2,))
    rows = efficiency_table(ONE, Controller(), {"small": (SMALL, 4)}, cells, over)
    assert [(r.layout, r.map, r.queue) for r in rows] == [
        (layout, name, queue)
        for layout in ("split", "rows")
        for name in ("access", "row")
        for queue in (8, 32)
    ]
    assert {row.expert_bytes for row in rows} == {SMALL.bytes}
    write_table(tmp_path / "a.parquet", rows)
    read = parquet.read(tmp_path / "a.parquet", {"map": "text", "share_of_peak": "float"})
    assert read["share_of_peak"].tolist() == [row.share_of_peak for row in rows]


def test_the_best_map_is_the_one_with_the_best_worst_row():
    def row(name, share):
        return Row(
            config="c", stream="s", expert_bytes=1, layout="l", readers=1, tile_bytes=1, map=name,
            queue=1, share_of_peak=share, row_hit_rate=0, energy_j_per_bit=None, moved=0,
        )  # fmt: skip

    assert best_map([row("a", 0.9), row("a", 0.2), row("b", 0.5), row("b", 0.4)]) == "b"
    with pytest.raises(BadInput, match="needs rows"):
        best_map([])


def test_efficiency_of_a_model_scales_its_step():
    config = dram_config("hbm3_6400_4Gb_1ch2pc")
    demand = Demand(requests=8, context=512)
    controller = Controller(address_map=maps_of(config)["line-hashed"])
    found = memory_efficiency(config, controller, MIXTRAL, demand)
    assert found.evidence == "simulated"
    assert all(0.3 < share < 1 for share in (found.weights, found.kv, found.activations))
    step, machine = make_step(MIXTRAL, batch=1, context=100), load_system("dgx-h100")
    whole = estimate(MIXTRAL, step, machine, ignore_capacity=True)
    real = estimate(MIXTRAL, step, machine, efficiency=found, ignore_capacity=True)
    assert real.seconds == pytest.approx(whole.seconds / found.weights, rel=0.02)
    assert real.evidence == "simulated"


def device(name, timing):
    memory = Memory(
        technology="HBM2", capacity_bytes=1e9, bandwidth_bytes_per_s=16e9, timing=timing
    )
    return msgspec.structs.replace(load_system("h100-sxm").devices[0], name=name, memory=memory)


def two(*timings):
    devices = tuple(device(name, timing) for name, timing in zip("ab", timings, strict=False))
    tiers = (Tier(name="node", size=len(devices), link=load_link("nvlink4")),)
    return System(name="two", devices=devices, tiers=tiers)


def test_a_system_is_asked_for_the_memory_of_its_devices():
    machine = two(ONE.name, ONE.name)
    tiny = msgspec.structs.replace(MIXTRAL, hidden=512)
    small = Demand(requests=2, context=64)
    own = system_efficiency(machine, tiny, Controller(), demand=small)
    assert own == memory_efficiency(ONE, Controller(), tiny, small)
    hashed = system_efficiency(machine, tiny, Controller(), map_name="line-hashed", demand=small)
    assert hashed.weights > own.weights


@pytest.mark.parametrize(
    ("timings", "map_name", "fault"),
    [
        ((None,), "", "a: names no timing set"),
        ((ONE.name, SIXTEEN.name), "", "two: has several kinds of memory"),
        ((ONE.name,), "line-hash", "did you mean line-hashed"),
    ],
)
def test_systems_that_cannot_be_simulated_are_refused(timings, map_name, fault):
    with pytest.raises(BadInput, match=fault):
        system_efficiency(two(*timings), MIXTRAL, Controller(), map_name=map_name)


def test_an_expert_larger_than_the_memory_is_refused():
    huge = Expert(lines=(2**20,), line_bytes=(4096,))
    with pytest.raises(BadInput, match="does not fit"):
        module.expert_bytes_stream(huge, 8, ONE, Demand())


def test_a_table_of_nothing_is_refused():
    with pytest.raises(ValueError, match="queues"):
        Cells(queues=())
