"""Machines and models small enough to count by hand."""

from __future__ import annotations

import msgspec
import pytest

from moesaic.hardware import Gpu, Link, Memory, System, Tier
from moesaic.workload import Dense, Experts, Gqa, Layer, MoEModel


def gpu(**more) -> Gpu:
    one = Gpu(
        name="gpu",
        vendor="nobody",
        architecture="none",
        memory=Memory(technology="HBM3", capacity_bytes=1e12, bandwidth_bytes_per_s=1e12),
        peak_flops_per_s={"bf16": 1e14, "fp8": 2e14},
    )
    return msgspec.structs.replace(one, **more)


def machine(*sizes: int, device: Gpu | None = None, rates=(1e11, 1e10, 1e9)) -> System:
    """Devices in tiers of these sizes, each tier ten times slower than the one inside it."""
    count = 1
    for size in sizes:
        count *= size
    tiers = tuple(
        Tier(
            name=f"tier{i}",
            size=size,
            link=Link(
                name=f"link{i}", technology="wire", bandwidth_bytes_per_s=rate, latency_s=1e-6
            ),
        )
        for i, (size, rate) in enumerate(zip(sizes, rates, strict=False))
    )
    return System(name="machine", devices=(device or gpu(),) * count, tiers=tiers)


def tiny(layers: int = 2, experts: int = 8, top_k: int = 2, **block) -> MoEModel:
    """A dense layer, then expert layers; hidden 64, 8 heads of 16, 4 key/value heads."""
    mixer = Gqa(heads=8, kv_heads=4, head_dim=16)
    routed = Experts(count=experts, top_k=top_k, inter=32, **block)
    rest = (Layer(mixers=(mixer,), ffn=routed),) * (layers - 1)
    return MoEModel(
        name="tiny",
        hidden=64,
        vocab=256,
        tied=False,
        layers=(Layer(mixers=(mixer,), ffn=Dense(inter=128)), *rest),
    )


@pytest.fixture(name="gpu")
def _gpu():
    return gpu


@pytest.fixture(name="machine")
def _machine():
    return machine


@pytest.fixture(name="tiny")
def _tiny():
    return tiny
