"""Does every config.json become the model it describes, and is a bad one refused in a sentence?"""

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from moesaic.base import BadInput
from moesaic.workload import Dense, Experts, Gqa, Layer, LinearAttention, Mamba, Mla, load
from moesaic.workload.config import from_config, read_config
from moesaic.workload.load import BUNDLED

SMALL = {
    "hidden_size": 64,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_experts": 8,
    "num_experts_per_tok": 2,
    "intermediate_size": 128,
    "vocab_size": 100,
}


def _gqa(layer: Layer, place: int = 0) -> Gqa:
    mixer = layer.mixers[place]
    assert isinstance(mixer, Gqa)
    return mixer


def test_all_35_bundled_models_load():
    assert len(load.names()) == 35
    assert [load.model(name).name for name in load.names()] == list(load.names())


@pytest.mark.parametrize(
    ("name", "layers", "moe", "experts", "top_k", "inter", "shared"),
    [
        ("mixtral-8x7b", 32, range(32), 8, 2, 14336, 0),
        ("dbrx", 40, range(40), 16, 4, 10752, 0),  # ffn_config
        ("hunyuan-a13b", 32, range(32), 64, 8, 3072, 3072),  # lists per layer
        ("deepseek-v3", 61, range(3, 61), 256, 8, 2048, 2048),
        ("deepseek-v2-lite", 27, range(1, 27), 64, 6, 1408, 2 * 1408),
        ("llama-4-maverick", 48, range(1, 48, 2), 128, 1, 8192, 8192),
        ("llama-4-scout", 48, range(48), 16, 1, 8192, 8192),
        ("jamba-v0.1", 32, range(1, 32, 2), 16, 2, 14336, 0),
        ("switch-base-8", 24, range(1, 24, 2), 8, 1, 3072, 0),
        ("nllb-moe-54b", 48, range(3, 48, 4), 128, 2, 8192, 0),
        ("glam-8b-64e", 32, range(1, 32, 2), 64, 2, 16384, 0),
        ("qwen1.5-moe-a2.7b", 24, range(24), 60, 4, 1408, 5632),
        ("qwen3-coder-480b-a35b", 62, range(62), 160, 8, 2560, 0),
        ("ling-mini-2.0", 20, range(1, 20), 256, 8, 512, 512),
        ("m3vit-tiny", 12, range(1, 12, 2), 16, 2, 384, 0),
    ],
)
def test_experts_stand_where_the_family_puts_them(name, layers, moe, experts, top_k, inter, shared):
    model = load.model(name)
    block = model.experts
    assert (len(model.layers), model.moe_layers) == (layers, tuple(moe))
    assert (block.count, block.top_k, block.inter) == (experts, top_k, inter)
    assert block.shared_inter == shared


@pytest.mark.parametrize(
    ("name", "inter"),
    [("llama-4-maverick", 16384), ("deepseek-v3", 18432), ("glm-4.5", 12288), ("m3vit-tiny", 768)],
)
def test_dense_layers_have_their_own_width(name, inter):
    dense = [layer.ffn for layer, _ in load.model(name).groups if isinstance(layer.ffn, Dense)]
    assert {block.inter for block in dense} == {inter}


def test_two_matrix_experts_and_dense_residuals_are_seen():
    ungated = {n for n in load.names() if not load.model(n).experts.gated}
    assert ungated == {
        "glam-64b-64e", "glam-8b-64e", "m3vit-small", "m3vit-tiny", "nllb-moe-54b", "switch-base-8",
    }  # fmt: skip
    assert load.model("snowflake-arctic").experts.dense_inter == 7168
    assert load.model("qwen2-57b-a14b").experts.shared_gate


def test_attention_kinds():
    deepseek = load.model("deepseek-v3").layers[0].mixers[0]
    assert isinstance(deepseek, Mla)
    assert (deepseek.q_rank, deepseek.kv_rank, deepseek.rope_dim) == (1536, 512, 64)
    lite = load.model("deepseek-v2-lite").layers[0].mixers[0]
    assert isinstance(lite, Mla)
    assert lite.q_rank is None
    qwen = load.model("qwen3-30b-a3b").layers[0].mixers[0]
    assert isinstance(qwen, Gqa)
    assert (qwen.heads * qwen.head_dim, load.model("qwen3-30b-a3b").hidden) == (4096, 2048)
    jamba = load.model("jamba-v0.1")
    attending = [i for i, one in enumerate(jamba.layers) if isinstance(one.mixers[0], Gqa)]
    assert attending == [4, 12, 20, 28]
    assert jamba.layers[0].mixers[0] == Mamba(inner=8192, state=16, conv=4, dt_rank=256)
    minimax = load.model("minimax-text-01")
    softmax = [i for i, one in enumerate(minimax.layers) if isinstance(one.mixers[0], Gqa)]
    assert softmax == list(range(7, 80, 8))
    assert isinstance(minimax.layers[0].mixers[0], LinearAttention)


def test_windows_follow_the_layer_types():
    windows = [_gqa(layer).window for layer in load.model("gpt-oss-20b").layers]
    assert windows == [128, None] * 12
    windows = [_gqa(layer).window for layer in load.model("llama-4-scout").layers]
    assert windows == [8192, 8192, 8192, None] * 12
    assert _gqa(load.model("mixtral-8x7b").layers[0]).window is None
    assert _gqa(load.model("qwen3-30b-a3b").layers[0]).window is None


def test_two_stacks_have_an_encoder_and_cross_attention():
    model = load.model("switch-base-8")
    assert [layer.side for layer in model.layers] == ["encoder"] * 12 + ["decoder"] * 12
    assert all(len(layer.mixers) == 1 and not _gqa(layer).causal for layer in model.layers[:12])
    assert all(_gqa(layer).causal and _gqa(layer, 1).cross for layer in model.layers[12:])


@pytest.mark.parametrize(
    ("name", "weights", "experts", "head"),
    [
        ("deepseek-v3", "fp8_block", "fp8_block", "bf16"),
        ("minimax-m2.5", "fp8_block", "fp8_block", "bf16"),
        ("gpt-oss-120b", "bf16", "mxfp4", "bf16"),
        ("mixtral-8x7b", "bf16", "bf16", "bf16"),
        ("switch-base-8", "fp32", "fp32", "fp32"),
        ("llama-4-scout", "bf16", "bf16", "bf16"),
    ],
)
def test_formats_by_part(name, weights, experts, head):
    formats = load.model(name).formats
    assert (formats.weights, formats.experts, formats.head) == (weights, experts, head)


def test_prediction_layers_are_not_layers():
    assert (len(load.model("deepseek-v3").layers), load.model("deepseek-v3").prediction_layers) == (
        61,
        1,
    )
    assert load.model("minimax-m2.5").prediction_layers == 3


def test_a_vision_model_has_tokens_and_no_vocabulary():
    model = load.model("m3vit-tiny")
    assert (model.vocab, model.image_tokens) == (0, 197)
    assert not any(_gqa(layer).causal for layer in model.layers)


@pytest.mark.parametrize(
    ("change", "moe"),
    [
        ({}, [0, 1, 2, 3]),
        ({"mlp_only_layers": [1]}, [0, 2, 3]),
        ({"decoder_sparse_step": 2}, [1, 3]),
        ({"moe_layer_freq": 2}, [0, 2]),
        ({"moe_layer_freq": [0, 1, 1, 0]}, [1, 2]),
        ({"first_k_dense_replace": 3}, [3]),
        ({"moe_layers": [0, 3]}, [0, 3]),
        ({"interleave_moe_layer_step": 4}, [3]),
    ],
)
def test_each_way_to_place_experts(change, moe):
    assert list(from_config(SMALL | change).moe_layers) == moe


def test_a_stated_window_holds_for_all_layers_but_the_first_ones():
    model = from_config(SMALL | {"sliding_window": 8, "use_sliding_window": True})
    assert [_gqa(layer).window for layer in model.layers] == [8] * 4
    model = from_config(SMALL | {"sliding_window": 8, "max_window_layers": 3})
    assert [_gqa(layer).window for layer in model.layers] == [None] * 3 + [8]


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"num_hidden_layers": 10_000_000_000}, "num_hidden_layers"),
        ({"num_hidden_layers": -1}, "num_hidden_layers"),
        ({"num_hidden_layers": 4.0}, "num_hidden_layers"),
        ({"hidden_size": "64"}, "hidden_size"),
        ({"hidden_size": 0}, "hidden_size"),
        ({"hidden_size": 2**40}, "hidden_size"),
        ({"hidden_size": 62}, "hidden_size"),
        ({"hidden_size": True}, "hidden_size"),
        ({"num_experts_per_tok": 9}, "num_experts_per_tok"),
        ({"num_experts": 40_000}, "num_experts"),
        ({"num_experts": []}, "num_experts"),
        ({"num_key_value_heads": 3}, "num_key_value_heads"),
        ({"tie_word_embeddings": 1}, "tie_word_embeddings"),
        ({"layer_types": ["full_attention"]}, "layer_types"),
        ({"moe_intermediate_size": [1, 2]}, "moe_intermediate_size"),
        ({"moe_layer_freq": "2"}, "moe_layer_freq"),
        ({"mlp_only_layers": 3}, "mlp_only_layers"),
        ({"torch_dtype": 16}, "torch_dtype"),
        ({"torch_dtype": "float17"}, "torch_dtype"),
        ({"num_hidden_layers": 4096, "num_experts": 32767}, "num_experts"),
        ({"quantization_config": 4}, "quantization_config"),
        ({"quantization_config": {"quant_method": "magic"}}, "quantization_config.quant_method"),
        ({"quantization_config": {"quant_method": "gptq", "bits": 3}}, "quantization_config.bits"),
    ],
)
def test_a_wrong_value_is_named_with_its_key(change, key):
    with pytest.raises(BadInput) as fault:
        from_config(SMALL | change, file="config.json")
    assert fault.value.key == key
    assert "config.json" in str(fault.value)


@pytest.mark.parametrize("key", [k for k in SMALL if k != "num_experts"])
def test_a_missing_key_is_named(key):
    with pytest.raises(BadInput, match="lacks"):
        from_config({k: v for k, v in SMALL.items() if k != key})


@pytest.mark.parametrize(
    "text",
    ["", "{", '{"hidden_size": 64', "[1, 2]", "null", "\x00", "[" * 100_000, '{"a":' * 100_000],
)
def test_what_is_no_json_object_is_refused(tmp_path, text):
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(BadInput) as fault:
        load.model(path)
    assert fault.value.file == path


def test_a_model_without_experts_is_refused(tmp_path):
    with pytest.raises(BadInput, match="no experts"):
        from_config({k: v for k, v in SMALL.items() if k != "num_experts"})
    with pytest.raises(BadInput, match="not an MoE model"):
        from_config(SMALL | {"first_k_dense_replace": 4})
    with pytest.raises(BadInput, match="no such file"):
        load.model(tmp_path / "absent.json")


def test_a_folder_and_a_file_give_the_same_model(tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(SMALL))
    assert load.model(folder) == load.model(folder / "config.json")
    assert load.model(folder).name == "mine"


def test_a_name_too_long_for_a_path_is_an_unknown_model():
    with pytest.raises(BadInput, match="no model"):
        load.model("a" * 5000)


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(BadInput, match="mixtral-8x7b"):
        load.model("mixtral-8x7")


TEXTS = [path.read_bytes() for path in sorted(BUNDLED.glob("*.json"))]


@settings(deadline=None)
@given(st.sampled_from(TEXTS), st.data())
def test_a_damaged_config_is_a_model_or_one_sentence(tmp_path_factory, text, data):
    path: Path = tmp_path_factory.getbasetemp() / "damaged.json"
    damaged = bytearray(text[: data.draw(st.integers(0, len(text)))])
    for _ in range(data.draw(st.integers(0, 4))):
        if damaged:
            place = data.draw(st.integers(0, len(damaged) - 1))
            damaged[place] = data.draw(st.integers(0, 255))
    path.write_bytes(damaged)
    with contextlib.suppress(BadInput):
        assert isinstance(read_config(path).experts, Experts)


# A table of all characters would be made first, for seconds.
WORDS = st.text("a9_. \x00é\u2028", max_size=4)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(sorted({*SMALL, "first_k_dense_replace", "layer_types", "sliding_window",
                                "text_config", "quantization_config", "kv_lora_rank", "moe_layers",
                                "attn_layer_period", "expert_layer_period", "mlp_only_layers",
                                "max_window_layers", "num_shared_experts", "attn_type_list"})),
        st.recursive(
            st.none() | st.booleans() | st.integers(-9, 10**12) | st.floats() | WORDS,
            lambda inner: st.lists(inner, max_size=5)
            | st.dictionaries(WORDS, inner, max_size=3),
            max_leaves=6,
        ),
    )
)  # fmt: skip
def test_any_values_give_a_model_or_one_sentence(change):
    with contextlib.suppress(BadInput):
        assert len(from_config(SMALL | change).layers) >= 1
