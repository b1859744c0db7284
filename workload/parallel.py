"""Parallel: how a model is split over devices."""

from __future__ import annotations

import itertools

from ..base import BadInput, Count, Spec
from .model import Experts, Gqa, LinearAttention, Mamba, Mla, MoEModel


class Parallel(Spec, frozen=True, kw_only=True):
    """Degrees of parallelism, in the terms of SGLang and vLLM.

    tp: tensor parallelism of attention, dense blocks and embeddings inside one replica.
    dp: replicas of the attention, each with requests of its own (DP-attention).
    ep: groups that the routed experts are spread over; the tp*dp devices of a stage form ep groups,
        and each expert is split over tp*dp/ep devices.
    pp: stages, each holding a run of consecutive layers.
    Rank of a device = (stage * dp + replica) * tp + place; the expert group of a device is its
    place in the stage divided by tp*dp/ep.
    """

    tp: Count = 1
    ep: Count = 1
    dp: Count = 1
    pp: Count = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.stage_devices % self.ep:
            raise ValueError(
                f"`ep` {self.ep} does not divide the {self.stage_devices} devices of a stage "
                f"(tp {self.tp} x dp {self.dp})"
            )

    @property
    def devices(self) -> int:
        return self.tp * self.dp * self.pp

    @property
    def stage_devices(self) -> int:
        return self.tp * self.dp

    @property
    def expert_tp(self) -> int:
        """Devices that share one routed expert."""
        return self.stage_devices // self.ep

    def check(self, model: MoEModel) -> None:
        """Raises BadInput where the model's shapes do not divide by these degrees."""
        for layer, _ in model.groups:
            for mixer in layer.mixers:
                heads = mixer.inner if isinstance(mixer, Mamba) else mixer.heads
                self._divides("tp", self.tp, heads, f"{_KIND[type(mixer)]} heads of {model.name}")
            ffn = layer.ffn
            if isinstance(ffn, Experts):
                self._divides("expert tp (tp*dp/ep)", self.expert_tp, ffn.inter, "expert width")
                if self.ep > ffn.count:
                    raise BadInput(
                        f"exceeds the {ffn.count} experts of {model.name}", key="ep", value=self.ep
                    )
                self._divides("tp", self.tp, ffn.shared_inter, "shared expert width")
                self._divides("tp", self.tp, ffn.dense_inter, "dense width")
            else:
                self._divides("tp", self.tp, ffn.inter, f"dense width of {model.name}")
        if self.pp > len(model.layers):
            raise BadInput(
                f"exceeds the {len(model.layers)} layers of {model.name}", key="pp", value=self.pp
            )

    def _divides(self, key: str, degree: int, size: int, what: str) -> None:
        if size % degree:
            raise BadInput(f"does not divide the {size} {what}", key=key, value=degree)

    def stages(self, layers: int) -> list[range]:
        """The layers of each stage: runs whose lengths differ by one at most, longer ones first."""
        each, more = divmod(layers, self.pp)
        bounds = [0]
        for stage in range(self.pp):
            bounds.append(bounds[-1] + each + (stage < more))
        return [range(a, b) for a, b in itertools.pairwise(bounds)]


_KIND = {Gqa: "attention", Mla: "attention", LinearAttention: "attention", Mamba: "Mamba"}
