"""An unmodified Hugging Face config.json -> MoEModel. The key names are data in `config_keys`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..base import BadInput
from .config_fields import Fields, read_json
from .config_formats import formats_of
from .config_keys import FAMILIES, Family
from .config_layers import Side, attention, ffns_of, mixers_of
from .model import Layer, MoEModel


def read_config(path: str | Path, name: str | None = None) -> MoEModel:
    """The model that a config.json describes; raises BadInput naming file, key and value."""
    path = Path(path)
    return from_config(read_json(path), name=name or _name(path), file=path)


def from_config(
    data: Mapping[str, Any], *, name: str = "model", file: str | Path | None = None
) -> MoEModel:
    """The model that the tables of a config.json describe."""
    fields = Fields(data, file)
    family = FAMILIES.get(str(fields.raw("model_type")), Family())
    if not fields.has("experts"):
        raise BadInput("names no experts: this is not a Mixture-of-Experts model", file=file)
    vision = fields.has("image_tokens") and not fields.has("vocab")
    try:
        return MoEModel(
            name=name,
            hidden=fields.count("hidden"),
            vocab=0 if vision else fields.count("vocab"),
            tied=fields.flag("tied", family.tied),
            layers=_stacks(fields, family),
            formats=formats_of(fields, family),
            prediction_layers=fields.count("prediction_layers", 0, least=0),
            image_tokens=fields.optional("image_tokens"),
            max_context=fields.optional("max_context"),
        )
    except BadInput:
        raise
    except ValueError as fault:
        raise BadInput(str(fault), file=file) from None


def _name(path: Path) -> str:
    return path.resolve().parent.name if path.name == "config.json" else path.stem


def _stacks(fields: Fields, family: Family) -> tuple[Layer, ...]:
    """The layers in order of execution; an encoder, where there is one, comes first."""
    if not fields.has("decoder_layers"):
        return _layers(fields, family, "decoder", fields.count("layers"), cross=False)
    encoder = _layers(fields, family, "encoder", fields.count("encoder_layers"), cross=False)
    decoder = _layers(fields, family, "decoder", fields.count("decoder_layers"), cross=True)
    return encoder + decoder


def _layers(
    fields: Fields, family: Family, side: Side, layers: int, *, cross: bool
) -> tuple[Layer, ...]:
    mixers = mixers_of(fields, family, side, layers)
    ffns = ffns_of(fields, family, side, layers)
    reads_encoder = (attention(fields, family, side, cross=True),) if cross else ()
    return tuple(
        Layer(mixers=(mixer, *reads_encoder), ffn=ffn, side=side)
        for mixer, ffn in zip(mixers, ffns, strict=True)
    )
