"""FILE.proof.npz: the arrays of the proofs on hops, megabytes that no JSON should hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...base import BadInput
from ...base.files import writing
from ...workload.readers.numpy_file import read_npz
from ..placement import HopCertificate, HopProof

ARRAYS = ("kept", "duals", "part", "load_duals")


class Terms(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A certificate on hops without its arrays. groups: the ranks of a run, one a proof."""

    problem: str
    bound: float
    node_ranks: int
    node_cost: float
    caps: tuple[float, ...] | None
    exhaustive: bool
    groups: tuple[int, ...]

    @classmethod
    def of(cls, certificate: HopCertificate | None) -> Terms | None:
        if certificate is None:
            return None
        told = {name: getattr(certificate, name) for name in cls.__struct_fields__[:-1]}
        return cls(**told, groups=tuple(proof.group for proof in certificate.proofs))

    def certificate(self, proofs: tuple[HopProof, ...]) -> HopCertificate:
        told = msgspec.structs.asdict(self)
        del told["groups"]
        return HopCertificate(**told, proofs=proofs)


def write_proofs(path: Path, certificate: HopCertificate | None) -> None:
    """The arrays, or no file where there are none: one that stood there before is removed."""
    arrays: dict[str, NDArray[Any]] = {}
    for proof in () if certificate is None else certificate.proofs:
        for name in ARRAYS:
            array = getattr(proof, name)
            if array is not None:
                arrays[f"{name}_{proof.group}"] = array
    if not arrays:
        path.unlink(missing_ok=True)
        return
    with writing(path) as beside, beside.open("wb") as stream:
        np.savez_compressed(stream, allow_pickle=False, **arrays)


def read_proofs(path: Path, terms: Terms | None, layers: int, experts: int) -> tuple[HopProof, ...]:
    """The proofs of `terms`, shapes checked; raises BadInput for a file that is not theirs."""
    if terms is None or not terms.groups:
        return ()
    arrays = read_npz(path)
    pairs = layers - 1
    shapes = {
        "kept": (pairs,),
        "duals": (pairs, 2, experts),
        "part": (pairs, experts, experts),
        "load_duals": (pairs, 2, experts),
    }
    proofs = []
    for group in terms.groups:
        found: dict[str, Any] = {}
        for name, shape in shapes.items():
            array = arrays.get(f"{name}_{group}")
            if array is None and name in ("part", "load_duals"):
                continue
            kind = np.float32 if name == "part" else np.float64
            if array is None or array.shape != shape or array.dtype != kind:
                raise BadInput(
                    f"needs {name}_{group} of shape {shape} and type {np.dtype(kind)}", file=path
                )
            if not np.isfinite(array).all():
                raise BadInput("must be finite", file=path, key=f"{name}_{group}")
            found[name] = array
        proofs.append(HopProof(group=group, **found))
    return tuple(proofs)
