"""Recorded routing and placement in a design space: as one estimate after another says."""

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from moesaic.base import BadInput
from moesaic.hardware.load import system as load_system
from moesaic.placement import METHODS, Problem, solve
from moesaic.roofline import fit, operators
from moesaic.simulator import estimate
from moesaic.sweeps.design.evaluate import evaluate
from moesaic.sweeps.design.folder import create, manifest_of, opened
from moesaic.sweeps.design.results import OK, RESULTS, TOO_LARGE
from moesaic.sweeps.design.routed import fingerprint
from moesaic.sweeps.design.space import load, space
from moesaic.sweeps.design.why import why
from moesaic.sweeps.design.words import PLACEMENTS
from moesaic.workload import Parallel, RoutingTrace, chance_of, make_step
from moesaic.workload.load import model as load_model
from moesaic.workload.readers.detect import load as load_routing
from moesaic.workload.routed_step import capped_chances

DATA = Path(__file__).parents[2] / "examples/data"
MIXTRAL = "fiddler_mixtral_popularity.json#original"
TRACE = "tiny_mixtral_E16k2_seed0.npz"
BANDWIDTH = "system.device.memory.bandwidth_bytes_per_s"
USUAL = {
    "model": "mixtral-8x7b",
    "on": "dgx-h100",
    "tp": 2,
    "dp": 4,
    "ep": 4,
    "batch": 256,
    "context": 500,
    "prompt": 8192,
}


def answers(*rows, detail="bound", here=DATA, **usual):
    """The results of rows of words, each what differs from the usual ones."""
    whole = [{"routing": "", "placement": "", "slots": 0, **USUAL, **usual, **row} for row in rows]
    columns = {
        name: np.array([row[name] for row in whole], object if isinstance(value, str) else None)
        for name, value in whole[0].items()
    }
    return evaluate(columns, detail, here=here)


def counts(path, *windows):
    """A file of counts: windows of `[layers, experts]`, the first learnt, the second scored."""
    loads = np.array(windows, np.float64)
    np.savez(path, loads=loads, layers=np.arange(loads.shape[1]))
    return path.name


@pytest.fixture
def config(tmp_path):
    """A model of the shape of the small recorded one: 8 layers, 16 experts, top-2."""
    shape: dict[str, Any] = {
        "num_hidden_layers": 8,
        "num_local_experts": 16,
        "num_experts_per_tok": 2,
    }
    shape |= {"hidden_size": 512, "intermediate_size": 1024, "vocab_size": 4096}
    shape |= {"num_attention_heads": 8, "num_key_value_heads": 8, "model_type": "mixtral"}
    (tmp_path / "config.json").write_text(json.dumps(shape | {"torch_dtype": "bfloat16"}))
    return str(tmp_path / "config.json")


def halved(counts):
    """The windows that are learnt, and those that are scored."""
    return [
        msgspec.structs.replace(counts, loads=counts.loads[first::2], names=()) for first in (0, 1)
    ]


@pytest.mark.parametrize("detail", ["bound", "tile"])
def test_rows_equal_the_estimates_of_their_steps(detail):
    learnt, scored = halved(load_routing(DATA / MIXTRAL.split("#")[0], part="original"))
    shape, machine = load_model("mixtral-8x7b"), load_system("dgx-h100")
    chance = chance_of(scored, shape)
    rows: list[dict[str, Any]]
    rows = [{}, {"placement": "lpt"}, {"placement": "replicas", "slots": 3, "batch": 7}]
    got = answers(*rows, routing=MIXTRAL, detail=detail)
    for i, row in enumerate(rows):
        split, homes = Parallel(tp=2, dp=4, ep=4), None
        if row:
            problem = Problem.of(learnt, 4, slots_per_rank=row.get("slots"))
            homes = solve(problem, row["placement"]).expert_map
        batch = row.get("batch", 256)
        step = make_step(shape, batch=batch, context=500, chance=chance)
        first = make_step(shape, prefill=8192, chance=chance)
        words = {"parallel": split, "expert_map": homes, "detail": detail}
        wanted, prompt = (
            estimate(shape, one, machine, **words, ignore_capacity=True) for one in (step, first)
        )
        assert got["status"][i] == OK
        assert got["detail"][i] == detail
        assert got["tpot_s"][i] == pytest.approx(wanted.seconds, rel=1e-9)
        assert got["ttft_s"][i] == pytest.approx(prompt.seconds, rel=1e-9)
        assert got["throughput_tokens_per_s"][i] == pytest.approx(batch / wanted.seconds)
        held = fit(shape, operators(shape, step, machine, split, homes), machine, split, homes)
        assert got["spare_bytes"][i] == pytest.approx((held.capacity - held.needed).min(), abs=1)
        if detail == "bound":
            assert got["energy_j_per_token"][i] * batch == pytest.approx(wanted.energy_j)


def test_memories_are_looked_at_under_the_same_routing():
    row = {"on": "duplex-4", "tp": 1, "dp": 4, "batch": 32, "prompt": 0, "placement": "lpt"}
    got = answers(row, routing=MIXTRAL, detail="cycle")
    learnt, scored = halved(load_routing(DATA / MIXTRAL.split("#")[0], part="original"))
    shape = load_model("mixtral-8x7b")
    wanted = estimate(
        shape,
        make_step(shape, batch=32, context=500, chance=chance_of(scored, shape)),
        load_system("duplex-4"),
        parallel=Parallel(tp=1, dp=4, ep=4),
        expert_map=solve(Problem.of(learnt, 4), "lpt").expert_map,
        detail="cycle",
        ignore_capacity=True,
    )
    assert got["tpot_s"][0] == pytest.approx(wanted.seconds, rel=1e-9)
    assert got["energy_j_per_token"][0] * 32 == pytest.approx(wanted.energy_j)


def test_a_trace_is_halved_by_its_requests(config):
    rows = [{}, {"placement": "lpt-swaps"}]
    got = answers(*rows, model=config, routing=TRACE, ep=8, dp=8, tp=1)
    trace = load_routing(DATA / TRACE)
    assert isinstance(trace, RoutingTrace)
    assert trace.request_id is not None
    odd = np.unique(trace.request_id, return_inverse=True)[1] % 2 == 1
    shape = load_model(config)
    chance = chance_of(trace.select(odd), shape)
    homes = solve(Problem.of(trace.select(~odd).counts(), 8), "lpt-swaps").expert_map
    for i, one in enumerate((None, homes)):
        step = make_step(shape, batch=256, context=500, chance=chance)
        split = Parallel(tp=1, dp=8, ep=8)
        wanted = estimate(shape, step, load_system("dgx-h100"), parallel=split, expert_map=one)
        assert got["tpot_s"][i] == pytest.approx(wanted.seconds, rel=1e-9)


def test_a_uniform_recording_of_contiguous_experts_is_the_fast_path(tmp_path):
    file = counts(tmp_path / "even.npz", *np.full((2, 32, 8), 7.0))
    got = answers({}, {"routing": file}, {"routing": file, "placement": "lpt"}, here=tmp_path)
    for name, result in RESULTS.items():
        if result.kind == "number":
            assert got[name][1:] == pytest.approx(got[name][:1].repeat(2), rel=1e-9, nan_ok=True)
        else:
            assert set(got[name]) == {got[name][0]}


@pytest.mark.parametrize("seed", range(4))
def test_uneven_experts_never_make_a_long_prompt_faster(tmp_path, seed):
    skewed = np.random.default_rng(seed).gamma(0.5, 1, (1, 32, 8)) + 1e-3
    row = {"routing": counts(tmp_path / "skewed.npz", *skewed), "prompt": 32768}
    splits: list[dict[str, Any]]
    splits = [{"ep": 1}, {"ep": 2}, {"ep": 4}, {"ep": 4, "placement": "lpt"}]
    even = answers(*({"prompt": 32768} | split | {"placement": ""} for split in splits))["ttft_s"]
    found = answers(*(row | split for split in splits), here=tmp_path)["ttft_s"]
    assert (found >= even * (1 - 1e-9)).all()
    assert found[3] <= found[2]  # learnt on the window that it is scored on


def test_a_placement_knows_nothing_of_what_it_is_scored_on(tmp_path):
    rng = np.random.default_rng(5)
    first, second, other = rng.gamma(0.5, 1, (3, 32, 8)) + 1e-3
    files = [
        counts(tmp_path / f"{i}.npz", *windows)
        for i, windows in enumerate([(first, second), (other, second), (second, second)])
    ]
    plain = answers(*({"routing": file} for file in files), here=tmp_path)["ttft_s"]
    assert len(set(plain)) == 1  # the scored window alone decides
    rows = ({"routing": file, "placement": "lpt"} for file in files)
    unseen, elsewhere, seen = answers(*rows, here=tmp_path)["ttft_s"]
    assert unseen != elsewhere
    assert seen < min(unseen, elsewhere, plain[0])


def test_copies_take_their_room():
    rows = [{"slots": slots, "placement": "eplb"} for slots in (2, 3, 8)]
    spare = answers(*rows, routing=MIXTRAL)["spare_bytes"]
    shape = load_model("mixtral-8x7b")
    each = 32 * 3 * 4096 * shape.experts.inter  # half an expert of each layer, in 16 bits
    assert np.diff(spare) == pytest.approx(-np.array([1, 5]) * each, rel=1e-3)
    tight = answers({"slots": 8, "on": "h100-sxm", "tp": 1, "dp": 1, "ep": 1}, routing=MIXTRAL)
    assert tight["status"][0] == TOO_LARGE


def test_rows_beside_recorded_ones_stay_as_they_are():
    machines = [{"batch": batch, BANDWIDTH: batch * 1e10} for batch in (100, 200, 400)]
    alone = answers(*machines)
    among = answers(*(one | {"routing": name} for one in machines for name in ("", MIXTRAL)))
    for name in RESULTS:
        assert np.array_equal(alone[name], among[name][::2], equal_nan=name not in TEXTS)
    assert (among["tpot_s"][::2] != among["tpot_s"][1::2]).all()
    figures = [{"routing": MIXTRAL, **one} for one in machines]
    apart = [answers(figure)["tpot_s"][0] for figure in figures]
    assert among["tpot_s"][1::2].tolist() == apart


TEXTS = {name for name, result in RESULTS.items() if result.kind == "text"}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ({"routing": "fiddler.json"}, "did you mean fiddler_mixtral_popularity.json?"),
        ({"routing": "nowhere/fiddler.json"}, "lies in no folder"),
        ({"routing": "fiddler_mixtral_popularity.json"}, "#instruct or "),
        ({"routing": "fiddler_mixtral_popularity.json#orignal"}, "did you mean original?"),
        ({"routing": "a\0b#c"}, "holds the control character U+0000"),
        ({"routing": "x" * 5000}, "no recording is called"),
        ({"routing": MIXTRAL, "slots": float("nan")}, "slots: must be finite"),
        ({"routing": MIXTRAL, "slots": 2.5}, "slots: takes whole numbers"),
        ({"routing": MIXTRAL, "slots": 2**62}, "slots: must be at most the 8"),
        ({"routing": "README.md"}, "README.md: is in no format"),
        ({"routing": TRACE}, "was recorded with 16 experts; mixtral-8x7b has 8"),
        ({"routing": "olmoe_repo_counts.npz#mixtral8x7b"}, "holds 3 layers"),
        ({"placement": "lpt"}, "placement: is learnt from a recording"),
        ({"slots": 3}, "is learnt from a recording"),
        ({"placement": "ltp", "routing": MIXTRAL}, "did you mean lpt?"),
        ({"placement": "eplb", "routing": MIXTRAL, "slots": 1}, "slots: 8 experts do not fit"),
        ({"placement": "lpt", "routing": MIXTRAL, "slots": 9}, "slots: must be at most the 8"),
    ],
)
def test_what_cannot_be_is_told_in_the_row(words, told):
    got = answers({}, words)
    assert got["status"][0] == OK
    assert told in got["status"][1]
    assert "\n" not in got["status"][1]
    assert np.isnan(got["tpot_s"][1])


def test_a_trace_of_other_choices_is_refused(config):
    got = answers({"routing": TRACE, "model": config, "model.experts.top_k": 4})
    assert got["status"][0].startswith("routing: holds 2 experts a token; ")


def test_a_recording_of_too_few_experts_is_refused(tmp_path):
    loads = np.ones((1, 32, 8))
    loads[0, 3, 1:] = 0
    got = answers({"routing": counts(tmp_path / "one.npz", *loads)}, here=tmp_path)
    assert "fewer than the 2 experts of a token in layer 3" in got["status"][0]


def test_requests_are_not_served_under_recorded_routing():
    got = answers({"routing": MIXTRAL, "prompt": 64}, detail="served")
    assert got["status"][0].startswith("routing: is not served")


def test_where_the_time_of_a_point_goes_follows_its_routing():
    asked = space(TABLES | {"fixed": USUAL | {"routing": MIXTRAL}}, DATA)
    for point in (0, 1):
        found = why(asked, point, lambda rows: evaluate(rows, here=DATA))
        assert found.estimate is not None
        assert found.estimate.seconds == pytest.approx(found.values["tpot_s"], rel=1e-9)


def test_the_placements_are_methods_that_give_the_same_map_again():
    assert set(PLACEMENTS) <= set(METHODS)
    rows = [{"placement": name, "slots": 3} for name in PLACEMENTS if name in ("eplb", "replicas")]
    rows += [{"placement": name} for name in PLACEMENTS]
    first, again = (answers(*rows, routing=MIXTRAL) for _ in range(2))
    assert set(first["status"]) == {OK}
    assert first["tpot_s"].tolist() == again["tpot_s"].tolist()


TABLES = {
    "title": "placements",
    "fixed": {"model": "mixtral-8x7b", "on": "dgx-h100", "routing": "own.npz"},
    "axes": {"placement": ["contiguous", "lpt"]},
    "objectives": {"minimise": ["tpot_s"]},
}


def test_a_placement_that_is_none_is_refused_with_the_space():
    with pytest.raises(BadInput, match="did you mean round-robin"):
        space(TABLES | {"axes": {"placement": ["contiguous", "roundrobin"]}})


def test_a_run_is_of_the_recording_that_it_was_begun_with(tmp_path):
    file = tmp_path / "space.toml"
    file.write_text(
        'title = "placements"\n[fixed]\nmodel = "mixtral-8x7b"\non = "dgx-h100"\n'
        'routing = "own.npz"\n[axes]\nplacement = ["", "lpt"]\n'
        '[objectives]\nminimise = ["tpot_s"]\n'
    )
    rng = np.random.default_rng(0)
    with pytest.raises(BadInput, match=r"no recording is called 'own\.npz'"):
        create(tmp_path / "run", file)
    counts(tmp_path / "own.npz", *rng.gamma(1, 1, (2, 32, 8)))
    run = create(tmp_path / "run", file)
    assert "routing own.npz" in run.manifest.specs
    before = fingerprint(str(tmp_path / "own.npz"))
    assert opened(run.path).manifest == run.manifest
    counts(tmp_path / "own.npz", *rng.gamma(1, 1, (2, 32, 8)))
    with pytest.raises(BadInput, match=r"another routing own\.npz"):
        opened(run.path)
    assert manifest_of(load(file), file.read_bytes()).content != run.manifest.content
    assert fingerprint(str(tmp_path / "own.npz")) != before


def test_chances_sum_to_top_k_and_none_is_above_one():
    assert capped_chances(np.array([90.0, 5.0, 5.0, 0.0]), 2).tolist() == [1.0, 0.5, 0.5, 0.0]
