"""What a step asks of each device: counted by hand, conserved by splits, exact in its bytes."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from moesaic.base import BadInput, bytes_of
from moesaic.roofline import operators
from moesaic.roofline.fit import resident
from moesaic.workload import (
    Chunk,
    Decode,
    ExpertMap,
    Gqa,
    Mamba,
    Mla,
    Parallel,
    Step,
    contiguous,
    load,
    make_step,
)
from moesaic.workload.parameters import (
    cross_kv_bytes_per_token,
    kv_bytes_per_token,
    kv_tokens,
    mixer_kv_bytes,
    parameters,
    state_bytes,
)


def row(table, name, layer=None):
    for i, operator in enumerate(table.operators):
        if operator.name == name and layer in (None, operator.layer):
            return i
    raise AssertionError(name)


def test_each_operator_of_a_tiny_step_counted_by_hand(machine, tiny):
    table = operators(tiny(), make_step(tiny(), batch=3, context=10), machine(1))
    cases = {
        # name: flops, weight bytes, KV bytes, activation bytes; 2 bytes an element
        "norm.residual": (0, 0, 0, 3 * 4 * 64 * 2),
        "attention.qkv": (2 * 3 * 64 * 256, 64 * 256 * 2, 0, 3 * (64 + 256) * 2),
        "attention.core": (4 * 33 * 128, 0, 33 * 128 * 2, 3 * 256 * 2),
        "attention.out": (2 * 3 * 128 * 64, 128 * 64 * 2, 0, 3 * (128 + 64) * 2),
        "dense.gate_up": (2 * 3 * 64 * 256, 64 * 256 * 2, 0, 3 * (64 + 256) * 2),
        "dense.down": (2 * 3 * 128 * 64, 128 * 64 * 2, 0, 3 * (128 + 64) * 2),
        "router.gate": (2 * 3 * 64 * 8, 64 * 8 * 2, 0, 3 * (64 + 8) * 2),
        "experts.combine": (2 * 3 * 2 * 64, 0, 0, 3 * 3 * 64 * 2),
        "embedding.rows": (0, 3 * 64 * 2, 0, 3 * 64 * 2),
        "head.logits": (2 * 3 * 64 * 256, 64 * 256 * 2, 0, 3 * (64 + 256) * 2),
    }
    for name, wanted in cases.items():
        i = row(table, name)
        got = table.flops, table.weight_bytes, table.kv_bytes, table.activation_bytes
        assert [float(column[i, 0]) for column in got] == pytest.approx(wanted), name
    assert not table.link_bytes.any()


def test_routed_experts_read_those_that_the_batch_touches(machine, tiny):
    table = operators(tiny(), make_step(tiny(), batch=3, context=10), machine(1))
    touched = 8 * (1 - (1 - 2 / 8) ** 3)
    i = row(table, "experts.gate_up")
    assert table.flops[i, 0] == pytest.approx(2 * 6 * 64 * 64)
    assert table.weight_bytes[i, 0] == pytest.approx(touched * 64 * 64 * 2)
    assert table.activation_bytes[i, 0] == pytest.approx(6 * (64 + 64) * 2)
    assert table.rows_per_expert[i, 0] == pytest.approx(6 / touched)
    assert table.token_weight_bytes[i, 0] == pytest.approx(2 * 64 * 64 * 2)


def test_a_split_of_four_reads_a_quarter_of_the_weights_and_of_the_cache(machine, tiny):
    step = make_step(tiny(), batch=3, context=10)
    one, four = (operators(tiny(), step, machine(4), Parallel(tp=tp, ep=tp)) for tp in (1, 4))
    for name in ("attention.qkv", "attention.core", "dense.down", "experts.down", "head.logits"):
        i, j = row(one, name), row(four, name)
        assert four.weight_bytes[j] == pytest.approx(one.weight_bytes[i, 0] / 4)
        assert four.kv_bytes[j] == pytest.approx(one.kv_bytes[i, 0] / 4)
    reduce = row(four, "all-reduce.attention")
    assert four.link_bytes[reduce, :, 0] == pytest.approx(2 * 3 / 4 * 3 * 64 * 2)


def test_key_value_heads_fewer_than_devices_stand_on_each(machine, tiny):
    step = make_step(tiny(), batch=3, context=10)
    table = operators(tiny(), step, machine(8), Parallel(tp=8))
    assert table.kv_bytes[row(table, "attention.core"), 0] == 33 * 2 * 16 * 2  # one head


SPLITS = [
    Parallel(tp=t, dp=d, ep=e, pp=p)
    for t in (1, 2, 4)
    for d in (1, 2, 3)
    for e in (1, 2, 3, 4, 8)
    for p in (1, 2)
    if t * d % e == 0 and 32 % (t * d // e) == 0
]


@pytest.mark.parametrize("split", SPLITS, ids=lambda s: f"tp{s.tp}-dp{s.dp}-ep{s.ep}-pp{s.pp}")
def test_work_is_conserved_by_every_split(split, machine, tiny):
    step = make_step(tiny(experts=12), batch=7, context=9, prefill=5, prefill_requests=2)
    whole = operators(tiny(experts=12), step, machine(1))
    parts = operators(tiny(experts=12), step, machine(split.devices), split)
    replicated = ("router.gate",)  # each device of a replica routes its tokens itself

    def total(table, column, tp=1):
        out = 0.0
        for operator, line in zip(table.operators, column, strict=True):
            out += float(line.sum()) / (tp if operator.name in replicated else 1)
        return out

    assert total(parts, parts.flops, split.tp) == pytest.approx(total(whole, whole.flops))
    assert parts.kv_bytes.sum() == pytest.approx(whole.kv_bytes.sum())
    assert parts.cache_bytes.sum() == pytest.approx(whole.cache_bytes.sum())


@settings(
    max_examples=50,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # they hold no state
)
@given(st.integers(1, 6), st.integers(0, 30), st.integers(0, 10**6))
def test_rows_of_experts_are_conserved_by_any_map(machine, tiny, ep, extra, seed):
    rng = np.random.default_rng(seed)
    slots = np.concatenate([rng.permutation(12), rng.integers(0, 12, extra)]).astype(np.int32)
    ranks = rng.integers(0, ep, slots.size).astype(np.int32)
    placed = ExpertMap(slots=slots[None], ranks=ranks, layers=(1,), experts=12)
    model = tiny(experts=12)
    step = make_step(model, batch=9, context=1, chance=rng.dirichlet(np.full(12, 9.0)) * 2)
    table = operators(model, step, machine(ep), Parallel(tp=1, dp=ep, ep=ep), placed)
    i = row(table, "experts.down")
    assert table.flops[i].sum() == pytest.approx(2 * 9 * 2 * 32 * 64)
    # Copies can be read more often than their expert, but no copy without a row.
    assert (table.weight_bytes[i] / (32 * 64 * 2) <= table.flops[i] / (2 * 32 * 64) + 1e-9).all()


def test_the_cache_of_a_step_is_exactly_what_the_model_keeps(machine):
    """kv_bytes_per_token of every model, windows and states of those that have them."""
    for name in load.names():
        model, context = load.model(name), 300
        table = operators(model, make_step(model, batch=1, context=context), machine(1))
        mixers = [m for layer in model.layers for m in layer.mixers]
        kept = sum(mixer_kv_bytes(m, model.formats.kv) * kv_tokens(m, context + 1) for m in mixers)
        kept += cross_kv_bytes_per_token(model) * context + state_bytes(model)
        assert table.cache_bytes.sum() == pytest.approx(kept, rel=1e-12), name
        if not model.vocab:
            continue  # a vision model decodes nothing
        # Each step reads what is kept and writes one token; a state is read and written whole.
        assert table.kv_bytes.sum() == pytest.approx(kept + state_bytes(model), rel=1e-12), name
        if all(getattr(m, "window", None) is None for m in mixers) and not state_bytes(model):
            each = kv_bytes_per_token(model)
            assert kept == each * (context + 1) + cross_kv_bytes_per_token(model) * context, name


def test_the_cache_of_a_prompt_is_that_of_its_tokens(machine):
    for name in ("mixtral-8x7b", "deepseek-v3", "gpt-oss-120b"):
        model = load.model(name)
        table = operators(model, make_step(model, prefill=500, cached=100), machine(1))
        mixers = [m for layer in model.layers for m in layer.mixers]
        kept = sum(mixer_kv_bytes(m, model.formats.kv) * kv_tokens(m, 600) for m in mixers)
        assert table.cache_bytes.sum() == pytest.approx(kept), name


def left_out(model) -> float:
    """Bytes of the parameters that operators do not read: norms, biases, small vectors."""
    counted, formats = parameters(model), model.formats
    small = 0.0
    for layer in model.layers:
        for m in layer.mixers:
            if isinstance(m, Gqa):
                small += (m.heads + 2 * m.kv_heads) * m.head_dim * m.bias
            elif isinstance(m, Mla):
                small += m.kv_rank + (m.q_rank or 0)
            elif isinstance(m, Mamba):
                small += m.inner * (m.conv + 1) + m.inner * (2 + m.state) + m.dt_rank + 2 * m.state
            else:
                small += m.heads * m.head_dim
        small += model.hidden * getattr(layer.ffn, "shared_gate", False)
    return bytes_of(formats.weights, small) + bytes_of(formats.head, counted.norms)


def test_resident_weights_are_the_parameters_without_norms_and_biases(machine):
    for name in load.names():
        model = load.model(name)
        counted, formats = parameters(model), model.formats
        attention = counted.attention + counted.dense + counted.shared
        wanted = bytes_of(formats.weights, attention) + bytes_of(formats.experts, counted.routed)
        wanted += bytes_of(formats.head, counted.embedding + counted.head + counted.router)
        wanted += bytes_of(formats.head, counted.norms)
        got = float(resident(model, machine(1), Parallel())[0])
        assert got == pytest.approx(wanted - left_out(model), rel=1e-12), name
        assert left_out(model) < 2e-3 * wanted, name


def test_a_tied_table_is_held_once_in_one_stage_and_at_both_ends_of_a_pipeline(machine, tiny):
    tied = msgspec.structs.replace(tiny(), tied=True)
    table = 256 * 64 * 2
    one = [resident(model, machine(1), Parallel())[0] for model in (tiny(), tied)]
    assert one[0] - one[1] == table
    two = [resident(model, machine(2), Parallel(pp=2)) for model in (tiny(), tied)]
    assert two[0].tolist() == two[1].tolist()
    assert two[0].sum() == one[0]


def test_every_copy_of_an_expert_is_held(machine, tiny):
    slots = np.concatenate([np.arange(8), np.zeros(4)]).astype(np.int32)[None]
    ranks = np.zeros(12, np.int32)
    placed = ExpertMap(slots=slots, ranks=ranks, layers=(1,), experts=8)
    plain, more = (resident(tiny(), machine(1), Parallel(), m)[0] for m in (None, placed))
    assert more - plain == pytest.approx(4 * 3 * 64 * 32 * 2)


def test_a_prompt_runs_in_the_encoder_and_a_generated_token_in_the_decoder(machine):
    model = load.model("switch-base-8")
    prompt = operators(model, make_step(model, prefill=100), machine(1))
    token = operators(model, make_step(model, batch=1, context=100), machine(1))
    sides = [layer.side for layer in model.layers]

    def busy(table):
        return {
            sides[operator.layer]
            for operator, flops in zip(table.operators, table.flops, strict=True)
            if operator.layer >= 0 and flops.any() and operator.name != "attention.cross_kv"
        }

    assert busy(prompt) == {"encoder"}
    assert busy(token) == {"decoder"}
    crossing = [i for i, op in enumerate(prompt.operators) if op.name == "attention.cross_kv"]
    assert (prompt.flops[crossing] > 0).all()
    assert not token.flops[crossing].any()


def test_a_cross_query_sees_the_encoder_and_not_itself(machine):
    model = load.model("switch-base-8")
    table = operators(model, make_step(model, batch=1, context=100), machine(1))
    cores = [i for i, op in enumerate(table.operators) if op.name == "attention.core"]
    heads = model.layers[0].mixers[0]
    assert isinstance(heads, Gqa)
    pairs = table.flops[cores, 0] / (4 * heads.heads * heads.head_dim)
    assert sorted(set(np.round(pairs).tolist())) == [0, 100, 101]


def test_an_encoders_rows_pass_through_the_decoders_stages(machine):
    model = load.model("switch-base-8")
    step = make_step(model, prefill=10)
    table = operators(model, step, machine(4), Parallel(pp=4))
    sends = [i for i, op in enumerate(table.operators) if op.name == "send.hidden"]
    size = bytes_of(model.formats.activations, 10 * model.hidden)
    assert table.link_bytes[sends].sum(axis=(1, 2)).tolist() == [size] * 3


def test_a_vision_model_has_no_vocabulary_to_read(machine):
    model = load.model("m3vit-small")
    assert model.image_tokens
    table = operators(model, make_step(model, prefill=model.image_tokens), machine(1))
    assert not {"embedding.rows", "head.logits"} & {op.name for op in table.operators}
    assert not table.cache_bytes.any()


def test_operators_come_after_those_they_need(machine, tiny):
    model = tiny(layers=3, shared_inter=32)
    step = make_step(model, batch=6, context=4)
    table = operators(model, step, machine(4, 2), Parallel(tp=2, dp=2, ep=4, pp=2))
    for i, operator in enumerate(table.operators):
        assert all(0 <= before < i for before in operator.after)
    names = [operator.name for operator in table.operators]
    shared = names.index("shared.gate_up")
    assert names.index("dispatch.experts") not in table.operators[shared].after


def test_mixed_requests_are_dealt_like_cards(machine, tiny):
    experts = np.ones((1, 8))
    step = Step(
        chunks=(Chunk(tokens=4, requests=3), Chunk(tokens=6, requests=2)),
        decode=(Decode(requests=1, context=5),),
        loads=experts,
        touched=experts,
    )
    table = operators(tiny(), step, machine(2), Parallel(dp=2, ep=2))
    tokens = table.flops[row(table, "attention.qkv")] / (2 * 64 * 256)
    assert tokens.tolist() == [4 + 4 + 6 + 1, 4 + 6]


@pytest.mark.parametrize(
    ("split", "words"),
    [
        ({"tp": 4, "dp": 4}, "needs 16 devices"),
        ({"tp": 3}, "does not divide"),
        ({"ep": 16, "dp": 16}, "exceeds the 8 experts"),
        ({"pp": 3}, "exceeds the 2 layers"),
    ],
)
def test_splits_that_do_not_fit_are_refused(split, words, machine, tiny):
    with pytest.raises(BadInput, match=words):
        operators(tiny(), make_step(tiny(), batch=1), machine(8), Parallel(**split))


def test_a_map_of_another_model_is_refused(machine, tiny):
    step = make_step(tiny(), batch=1)
    with pytest.raises(BadInput, match="places 16 experts"):
        operators(tiny(), step, machine(2), Parallel(dp=2, ep=2), contiguous(16, 2, (1,)))
    with pytest.raises(BadInput, match="uses 4 ranks, but ep is 2"):
        operators(tiny(), step, machine(2), Parallel(dp=2, ep=2), contiguous(8, 4, (1,)))


def test_a_step_of_another_model_is_refused(machine, tiny):
    with pytest.raises(BadInput, match="made for 2 layers of 8 experts; tiny has 1 of 8"):
        operators(tiny(), make_step(tiny(layers=3), batch=1), machine(1))
