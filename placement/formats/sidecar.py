"""The file beside an engine's file: what the engine has no place for."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np

from ...base import BadInput
from ...base.files import read_bounded, write_text
from ...workload import ExpertMap
from ..placement import Certificate, HopCertificate, Hops, Learnt, Placement
from .proofs import Terms, read_proofs, write_proofs


class Sidecar(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a placement was made and what it is worth. ranks: `[physical]`, the rank of each slot.

    terms: the certificate on hops; the arrays of its proofs lie in a file of their own.
    """

    method: str
    experts: int
    ranks: list[int]
    layers: list[int]
    scores: dict[str, float]
    rank_max: list[float]
    bound: list[float]
    certificate: Certificate
    hops: Hops | None = None
    terms: Terms | None = None
    learnt: Learnt = "all"

    @classmethod
    def of(cls, placement: Placement) -> Sidecar:
        return cls(
            method=placement.method,
            experts=placement.expert_map.experts,
            ranks=placement.expert_map.ranks.tolist(),
            layers=list(placement.expert_map.layers),
            scores=placement.scores,
            rank_max=placement.rank_max.tolist(),
            bound=placement.bound.tolist(),
            certificate=placement.certificate,
            hops=placement.hops,
            terms=Terms.of(placement.hop_certificate),
            learnt=placement.learnt,
        )

    def placement(
        self, expert_map: ExpertMap, hop_certificate: HopCertificate | None = None
    ) -> Placement:
        """The placement again, around the map that the engine's file holds."""
        return Placement(
            expert_map=expert_map,
            method=self.method,
            scores=self.scores,
            rank_max=np.array(self.rank_max),
            bound=np.array(self.bound),
            certificate=self.certificate,
            hops=self.hops,
            hop_certificate=hop_certificate,
            learnt=self.learnt,
        )


def beside(path: str | Path) -> Path:
    """`x.meta.json` for `x.json`."""
    return Path(path).with_suffix(".meta.json")


def proof_file(path: str | Path) -> Path:
    """`x.proof.npz` for `x.json`."""
    return Path(path).with_suffix(".proof.npz")


def write(path: str | Path, placement: Placement) -> None:
    """The sidecar, and the arrays of its proofs on hops."""
    write_proofs(proof_file(path), placement.hop_certificate)
    text = msgspec.json.format(msgspec.json.encode(Sidecar.of(placement)), indent=1)
    write_text(beside(path), text.decode() + "\n")


def read(path: str | Path) -> Sidecar | None:
    """The sidecar of `path`, None where there is none; raises BadInput for a damaged one."""
    file = beside(path)
    if not file.exists():
        return None
    try:
        known = msgspec.json.decode(read_bounded(file), type=Sidecar)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise BadInput(f"is no sidecar of a placement: {fault}", file=file) from None
    if not known.ranks:
        raise BadInput("names no ranks", file=file, key="ranks")
    for name, loads in (("rank_max", known.rank_max), ("bound", known.bound)):
        if len(loads) != len(known.layers) or min(loads, default=0.0) <= 0:
            raise BadInput("needs one load above 0 for each layer", file=file, key=name)
    if known.hops is not None and min(known.hops.bound, known.hops.reached) < 0:
        raise BadInput("holds shares below 0", file=file, key="hops")
    return known


def remove(path: str | Path) -> None:
    """What stands beside a file that is no longer the one it speaks of."""
    beside(path).unlink(missing_ok=True)
    proof_file(path).unlink(missing_ok=True)


def recalled(path: str | Path, known: Sidecar, expert_map: ExpertMap) -> Placement:
    """The placement that a file's sidecar tells of, around the map that the file holds."""
    certificate = None
    if known.terms is not None:
        file, layers = proof_file(path), len(known.layers)
        certificate = known.terms.certificate(read_proofs(file, known.terms, layers, known.experts))
    return known.placement(expert_map, certificate)
