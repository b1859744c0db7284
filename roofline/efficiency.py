"""Efficiency: the share of each peak that a stream reaches. All ones is the roofline itself."""

from __future__ import annotations

from ..base import Evidence, Share, Spec


class Efficiency(Spec, frozen=True, kw_only=True):
    """Shares of peak by kind of stream, and what they rest on.

    weights, kv, activations: of memory bandwidth; tensor: of the dense peak; link: of a link's
    bandwidth. The memory core computes the first three; this part only multiplies.
    """

    weights: Share = 1.0
    kv: Share = 1.0
    activations: Share = 1.0
    tensor: Share = 1.0
    link: Share = 1.0
    evidence: Evidence = "bound"
