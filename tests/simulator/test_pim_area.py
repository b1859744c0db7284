"""Area of Logic-PIM from its parts, and energy x delay x area of a product on three units."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from moesaic.base import BadInput
from moesaic.hardware import Pim
from moesaic.hardware.load import device
from moesaic.simulator.pim.area import (
    LOGIC_DIE_M2,
    LOGIC_PIM_AREA_M2,
    LOGIC_PIM_PRINTED_M2,
    Counted,
    area_share,
    energy_j_per_byte,
    fitted_areas,
    moved_per_byte,
    normalised,
    products,
    seconds_per_byte,
)
from moesaic.sweeps.papers.edap import (
    FITTED,
    PUBLISHED,
    VARIANTS,
    edap_claims,
    edap_fit,
    edap_sections,
)

OPS = np.array([1.0, 2, 4, 8, 16, 32])
NOTHING = Counted(activation=False, delivery=False, refresh=False)


def pim(name):
    found = device(name)
    assert isinstance(found, Pim)
    return found


def test_the_parts_are_the_printed_area_to_its_last_digit_and_1471_of_the_die():
    total = sum(LOGIC_PIM_AREA_M2.values())
    assert total == pytest.approx(17.81e-6)
    assert total == pytest.approx(LOGIC_PIM_PRINTED_M2, abs=0.0101e-6)
    printed = area_share({"all": LOGIC_PIM_PRINTED_M2}, LOGIC_DIE_M2)
    assert printed == pytest.approx(0.1471, abs=5e-5)
    assert area_share(LOGIC_PIM_AREA_M2, LOGIC_DIE_M2) == pytest.approx(0.1472, abs=5e-5)


def test_delay_is_the_roofline_of_the_unit():
    logic = pim("duplex")
    seconds = seconds_per_byte(logic, OPS, NOTHING)
    assert seconds[:3] == pytest.approx(1 / 13.408e12)
    assert seconds[3:] == pytest.approx(OPS[3:] / 106.496e12)
    # A refresh of 338 cycles each 5070.
    assert seconds_per_byte(logic, OPS)[0] == pytest.approx(1 / 13.408e12 / (1 - 338 / 5070))


def test_energy_adds_reads_activation_arithmetic_and_delivery():
    bank = pim("bank-pim")
    assert energy_j_per_byte(bank, OPS, NOTHING) == pytest.approx((5.84 + 0.23 * OPS) * 1e-12)
    opened = energy_j_per_byte(bank, OPS, Counted(delivery=False))
    assert opened == pytest.approx((5.84 + 909 / 1024 + 0.23 * OPS) * 1e-12)
    # 5120 banks of 114.5 x 114.5 weights: 2 x 114.5 numbers for 13107 weights, at 2.74 pJ/bit.
    assert moved_per_byte(bank) == pytest.approx(2 / np.sqrt(16384 * 4096 / 5120))
    delivered = energy_j_per_byte(bank, OPS) - opened
    assert delivered == pytest.approx(8 * 2.74e-12 * moved_per_byte(bank) * OPS)


def test_units_further_from_the_banks_get_fewer_inputs_over_shorter_paths():
    moved = [moved_per_byte(pim(name)) for name in ("bank-pim", "bank-group-pim", "duplex")]
    assert moved == sorted(moved, reverse=True)
    logic = pim("duplex")
    assert (
        energy_j_per_byte(logic, OPS) == energy_j_per_byte(logic, OPS, Counted(delivery=False))
    ).all()


def test_areas_that_made_the_numbers_are_found_again():
    made = products([pim("bank-pim"), pim("bank-group-pim"), pim("duplex")], OPS[[0, -1]])
    true = np.array([0.7, 1.3, 1.0])
    published = normalised(made * true[:, None])
    assert fitted_areas(made, published, 0.005, known=2) == pytest.approx(true)


def test_edap_predicts_what_no_area_was_fitted_on():
    fit = edap_fit()
    assert fit.met
    assert np.abs(fit.predicted).max() < 0.10
    assert (fit.edap.max(axis=0) == 1).all()
    assert np.delete(fit.edap, FITTED, axis=1).shape == (3, 4)
    # The order of the units turns where the paper says: Bank-PIM is best below 8 and worst above.
    assert (fit.edap.argmin(axis=0) == PUBLISHED.argmin(axis=0)).all()
    assert (fit.edap.argmax(axis=0) == PUBLISHED.argmax(axis=0)).all()


def test_reads_and_arithmetic_alone_do_not_predict_it_with_either_set_of_energies():
    names = [name for name in VARIANTS if "arithmetic" in name]
    assert len(names) == 2
    for name in names:
        assert not edap_fit(name).met


def test_claims_say_what_was_fitted_and_sections_show_all():
    claims = edap_claims()
    assert len(claims) == 2 + 18
    assert sum(claim.fitted for claim in claims) == 6
    assert all(claim.status == "reproduced" for claim in claims)
    area, edap = edap_sections()
    assert area.tables
    assert edap.figure is not None
    assert len(edap.tables[1].rows) == len(VARIANTS)


def test_a_pim_without_memory_or_energies_is_refused():
    bank = pim("bank-pim")
    nameless = msgspec.structs.replace(
        bank, memory=msgspec.structs.replace(bank.memory, timing=None), gang=None
    )
    with pytest.raises(BadInput, match="timing"):
        seconds_per_byte(nameless, OPS)
    with pytest.raises(BadInput, match="energies"):
        energy_j_per_byte(msgspec.structs.replace(bank, energy_j_per_flop=None), OPS)
