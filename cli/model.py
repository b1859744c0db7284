"""moesaic model: which MoE models are known, and what each is made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import show

if TYPE_CHECKING:
    from ..workload import Layer, Mixer, MoEModel

app = typer.Typer(no_args_is_help=True, help="MoE models: list, show.")


@app.command("list")
def list_(json: show.Json = False) -> None:
    """The bundled models: parameters, experts, attention, and how far our count is off.

    Example: moesaic model list --json
    """
    from ..workload import load

    rows = [_summary(load.model(name)) for name in load.names()]
    if json:
        show.json(rows)
        return
    show.table(
        f"{len(rows)} models (parameters in billions; off: counted against published)",
        ["model", "total", "active", "off", "layers", "MoE", "experts", "top-k", "attention"],
        [
            [
                row["name"],
                _billions(row["total_parameters"]),
                _billions(row["active_parameters"]),
                _percent(row["deviation"]),
                row["layers"],
                row["moe_layers"],
                row["experts"],
                row["top_k"],
                row["attention"],
            ]
            for row in rows
        ],
        note="published totals: model cards and papers; `model show NAME` names the source",
    )


@app.command("show")
def show_(
    name: Annotated[str, typer.Argument(help="A bundled model, or a config.json or its folder.")],
    json: show.Json = False,
) -> None:
    """One model: its parts, their parameters and bytes, its layers, its cache.

    Example: moesaic model show deepseek-v3
    Example: moesaic model show path/to/config.json --json
    """
    from ..base.units import show as quantity
    from ..workload import load
    from ..workload import parameters as count

    model = load.model(name)
    told = _summary(model) | _details(model)
    if json:
        show.json(told)
        return
    counted = count.parameters(model)
    held = count.parameter_bytes(model)
    show.table(
        f"{model.name}: {_billions(counted.total)} B parameters, {_billions(counted.active)} B "
        f"active, {_percent(told['deviation']) or 'nothing published to compare'}",
        ["part", "parameters", "bytes"],
        [
            [part, f"{getattr(counted, part):,}", quantity(held[part], "B")]
            for part in count.PARTS
            if getattr(counted, part)
        ],
        note=f"cache {quantity(told['kv_bytes_per_token'], 'B')} a token, state "
        f"{quantity(told['state_bytes'], 'B')} a request; {model.status}: {model.source}",
    )
    show.table(
        "layers",
        ["count", "first", "stack", "mixers", "block"],
        [
            [len(numbers), numbers[0], layer.side, _mixers(layer), _block(layer)]
            for layer, numbers in model.groups
        ],
    )


def _summary(model: MoEModel) -> dict[str, Any]:
    from ..workload.parameters import deviation, parameters

    counted = parameters(model)
    kinds = dict.fromkeys(_kind(mixer) for layer, _ in model.groups for mixer in layer.mixers)
    return {
        "name": model.name,
        "total_parameters": counted.total,
        "active_parameters": counted.active,
        "published_total": model.published_total,
        "published_active": model.published_active,
        "deviation": deviation(model),
        "layers": len(model.layers),
        "moe_layers": len(model.moe_layers),
        "experts": model.experts.count,
        "top_k": model.experts.top_k,
        "attention": "+".join(kinds),
        "status": model.status,
        "source": model.source,
    }


def _details(model: MoEModel) -> dict[str, Any]:
    from ..workload import parameters as count

    counted = count.parameters(model)
    return {
        "hidden": model.hidden,
        "vocab": model.vocab,
        "tied": model.tied,
        "formats": model.formats,
        "max_context": model.max_context,
        "prediction_layers": model.prediction_layers,
        "image_tokens": model.image_tokens,
        "parameters": {part: getattr(counted, part) for part in count.PARTS},
        "bytes": count.parameter_bytes(model),
        "kv_bytes_per_token": count.kv_bytes_per_token(model),
        "cross_kv_bytes_per_token": count.cross_kv_bytes_per_token(model),
        "state_bytes": count.state_bytes(model),
        "groups": [{"layers": numbers, "layer": layer} for layer, numbers in model.groups],
    }


def _kind(mixer: Mixer) -> str:
    from ..workload import Gqa, LinearAttention, Mla

    if isinstance(mixer, Gqa):
        kind = "MHA" if mixer.kv_heads == mixer.heads else "GQA"
        return "cross" if mixer.cross else f"{kind} window" if mixer.window else kind
    if isinstance(mixer, Mla):
        return "MLA"
    return "linear" if isinstance(mixer, LinearAttention) else "Mamba"


def _mixers(layer: Layer) -> str:
    return ", ".join(
        f"{_kind(mixer)} "
        + " ".join(f"{k}={v}" for k in mixer.__struct_fields__ if _told(v := getattr(mixer, k)))
        for mixer in layer.mixers
    )


def _block(layer: Layer) -> str:
    ffn = layer.ffn
    told = " ".join(f"{k}={v}" for k in ffn.__struct_fields__ if _told(v := getattr(ffn, k)))
    return f"{type(ffn).__name__} {told}"


def _told(value: object) -> bool:
    return value is not None and not isinstance(value, bool) and value != 0


def _billions(number: float) -> str:
    return f"{number / 1e9:.4g}"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:+.2%}"
