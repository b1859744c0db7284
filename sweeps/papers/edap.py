"""Duplex (arXiv 2409.01141): area of Logic-PIM from its parts, and figure 8: EDAP against Op/B."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...base import BadInput
from ...hardware import Pim
from ...hardware.load import device
from ...simulator.pim.area import (
    LOGIC_DIE_M2,
    LOGIC_PIM_AREA_M2,
    LOGIC_PIM_PRINTED_M2,
    Counted,
    area_share,
    fitted_areas,
    normalised,
    products,
)
from ..report.section import Section, Table
from .claim import Claim, claims_section

Floats = NDArray[np.float64]

PAPER = "Duplex"
DEVICES = {"Bank-PIM": "bank-pim", "BankGroup-PIM": "bank-group-pim", "Logic-PIM": "duplex"}
OPS = (1, 2, 4, 8, 16, 32)
PUBLISHED = np.array([
    [0.08, 0.16, 0.35, 0.81, 1.00, 1.00],
    [1.00, 1.00, 1.00, 1.00, 0.96, 0.67],
    [0.66, 0.66, 0.65, 0.65, 0.61, 0.40],
])  # fmt: skip
"""Figure 8, `[devices, ops]`."""
PRINTED = 0.005
FITTED = (0, -1)
"""The columns that the two unpublished areas are fitted on; all others are predicted."""
NEAR = 0.10
"""A prediction within this, or within half a printed digit, is met: set before any was computed."""

ATTACC_READ = (8 * 0.44e-12, 8 * (0.44 + 1.01) * 1e-12, None)
"""J/B without activation in AttAcc's configuration (scale-snu/attacc_simulator); it has no unit on
a logic die, which keeps the energy of the released Duplex code."""
NOTHING = Counted(activation=False, delivery=False, refresh=False)
VARIANTS: dict[str, tuple[Counted, tuple[float | None, ...] | None]] = {
    "released Duplex code: reads and arithmetic": (NOTHING, None),
    "+ row activation": (Counted(delivery=False, refresh=False), None),
    "+ inputs to the units and results from them": (Counted(refresh=False), None),
    "+ refresh (used)": (Counted(), None),
    "AttAcc's reads instead: reads and arithmetic": (NOTHING, ATTACC_READ),
    "AttAcc's reads instead: all of it": (Counted(), ATTACC_READ),
}
USED = "+ refresh (used)"

ASSUMED = (
    "the weights are cut so that the units get and give the fewest numbers; these take the path "
    "from the logic die to the unit, whose energies are published",
    "a MAC costs the same on every die (0.46 pJ, released code)",
)


class Fit(msgspec.Struct, frozen=True, kw_only=True):
    """areas_m2 of a stack's units `[devices]`; EDAP `[devices, ops]` over each column's largest."""

    areas_m2: Floats
    edap: Floats

    @property
    def error(self) -> Floats:
        return np.asarray(self.edap / PUBLISHED - 1, np.float64)

    @property
    def predicted(self) -> Floats:
        """The columns that no area was fitted on."""
        return np.delete(self.error, FITTED, axis=1)

    @property
    def met(self) -> bool:
        """Whether every prediction is near enough."""
        digits = np.abs(self.edap - PUBLISHED) <= PRINTED
        return bool(np.delete((np.abs(self.error) <= NEAR) | digits, FITTED, axis=1).all())


def edap_fit(variant: str = USED) -> Fit:
    """The three units with what a variant counts."""
    counted, reads = VARIANTS[variant]
    made = products([_pim(name) for name in DEVICES.values()], np.array(OPS, float), counted, reads)
    columns = list(FITTED)
    areas = fitted_areas(made[:, columns], PUBLISHED[:, columns], PRINTED, known=len(DEVICES) - 1)
    return Fit(areas_m2=areas * LOGIC_PIM_PRINTED_M2, edap=normalised(made * areas[:, None]))


def edap_claims() -> tuple[Claim, ...]:
    """Area from its parts, then the eighteen values of figure 8."""
    return (*_area_claims(), *_edap_claims(edap_fit()))


def edap_sections() -> tuple[Section, ...]:
    """The area, and EDAP with its plot and what each part of the model is worth."""
    from ..plots.edap import edap_by_ops

    fit = edap_fit()
    area = claims_section(
        "duplex-area", "Duplex: area of Logic-PIM from its parts", _area_claims(), (AREA_WORDS,)
    )
    edap = Section(
        name="duplex-edap",
        title="Duplex: energy x delay x area of a matrix product",
        words=(_words(fit),),
        evidence=("simulated",),
        tables=(_values(fit), _variants()),
        figure=edap_by_ops(tuple(DEVICES), OPS, PUBLISHED, fit.edap, FITTED),
        data=[claim.summary() for claim in _edap_claims(fit)],
    )
    return area, edap


AREA_WORDS = (
    "The paper prints 17.80 mm2 and 14.71%; the parts that it prints sum to 17.81 mm2, which is "
    "14.72% of the 121 mm2 logic die."
)


def _area_claims() -> tuple[Claim, ...]:
    made: dict[str, Any] = {"paper": PAPER, "published_evidence": "simulated"}
    total = sum(LOGIC_PIM_AREA_M2.values())
    share = area_share(LOGIC_PIM_AREA_M2, LOGIC_DIE_M2)
    return (
        Claim(**made, metric="area of a stack's Logic-PIM", unit="mm2",
              published=LOGIC_PIM_PRINTED_M2 * 1e6, ours=total * 1e6),
        Claim(**made, metric="share of the logic die", unit="%", published=0.1471, ours=share),
    )  # fmt: skip


def _edap_claims(fit: Fit) -> tuple[Claim, ...]:
    ends = [OPS[column] for column in FITTED]
    return tuple(
        Claim(
            paper=PAPER,
            metric=f"EDAP of {name}, Op/B {ops}",
            unit="of the largest",
            published=float(PUBLISHED[row, column]),
            ours=float(fit.edap[row, column]),
            fitted=ops in ends,
            assumptions=ASSUMED,
            reason="two areas are fitted on Op/B 1 and 32" if ops in ends else "",
            published_evidence="simulated",
        )
        for row, name in enumerate(DEVICES)
        for column, ops in enumerate(OPS)
    )


def _words(fit: Fit) -> str:
    bank, group = fit.areas_m2[:2] * 1e6
    return (
        "A unit's energy is reads, row activation, arithmetic, and inputs and results on their "
        "way between the logic die and the unit; its delay is the larger of bytes / bandwidth "
        "(less refresh) and operations / peak. The areas of the units on DRAM dies are not "
        f"published: fitted on Op/B 1 and 32 they are {bank:.1f} mm2 (Bank-PIM) and {group:.1f} "
        "mm2 (BankGroup-PIM) beside 17.8 mm2. Values at Op/B 2 to 16 are predictions: off by "
        f"{np.abs(fit.predicted).max():.1%} at most. Assumed: {'; '.join(ASSUMED)}."
    )


LARGEST = (
    "Paper / ours, over the largest of each column, which is 1.00 itself: its place alone tells."
)


def _values(fit: Fit) -> Table:
    rows = tuple(
        (name, *(f"{p:.2f} / {o:.3f} ({e:+.0%})" for p, o, e in zip(*values, strict=True)))
        for name, *values in zip(DEVICES, PUBLISHED, fit.edap, fit.error, strict=True)
    )
    columns = ("unit", *(f"Op/B {ops}" + (" (fitted)" if ops in (1, 32) else "") for ops in OPS))
    return Table(columns=columns, rows=rows, note=LARGEST)


def _variants() -> Table:
    rows = []
    for variant in VARIANTS:
        fit = edap_fit(variant)
        ends = np.abs(fit.error[:, list(FITTED)]).max()
        rows.append((
            variant,
            *(f"{area * 1e6:.1f}" for area in fit.areas_m2[:2]),
            f"{ends:.1%}",
            f"{np.abs(fit.predicted).max():.1%}",
            "yes" if fit.met else "no",
        ))  # fmt: skip
    return Table(
        columns=("counted", "Bank mm2", "BankGroup mm2", "misfit at 1, 32", "worst of 2-16", "met"),
        rows=tuple(rows),
        note=f"met: every prediction within {NEAR:.0%} or half a printed digit. All costs that are "
        "known are used; the other rows show what each is worth. No constant is tuned, but the "
        "published values were known when delivery and refresh were added to the model.",
    )


def _pim(name: str) -> Pim:
    found = device(name)
    if not isinstance(found, Pim):
        raise BadInput("is no PIM", key=name)
    return found
