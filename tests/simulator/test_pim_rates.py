"""Rates of PIM devices, and streams of host and units at once."""

from __future__ import annotations

import time

import msgspec
import pytest

from moesaic.base import BadInput
from moesaic.cli.app import main
from moesaic.hardware import Gang, Pim
from moesaic.hardware.load import CATALOGUE, device, dram_config
from moesaic.simulator.memory.check import check_commands
from moesaic.simulator.pim import PimRate, paced, pim_rate
from moesaic.simulator.pim.meeting import meet
from moesaic.simulator.pim.rates import memory_of, one_channel

NAMES = ("hbm3_5200_duplex_16ch2pc", "hbm3_6400_16Gb_16ch2pc_2sid")
BUNDLE = Gang(bank_groups=4, banks=2)
SETS = pytest.mark.parametrize("config", [one_channel(dram_config(name)) for name in NAMES])


def pim(name):
    found = device(name)
    assert isinstance(found, Pim)
    return found


@pytest.fixture(scope="module", autouse=True)
def _own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.mark.parametrize("name", ["duplex", "bank-group-pim", "bank-pim", "attacc"])
@pytest.mark.parametrize("spaces", [1, 2])
def test_a_rate_is_near_its_closed_form_and_made_of_its_losses(name, spaces):
    rate = pim_rate(pim(name), spaces)
    assert rate.evidence == "simulated"
    assert rate.share_of_peak == pytest.approx(rate.closed_share, rel=0.01)
    left = (1 - rate.activation_loss) * (1 - rate.refresh_loss)
    assert rate.share_of_peak == pytest.approx(left)


def test_a_rate_is_kept():
    first = pim_rate(pim("duplex"))
    begin = time.perf_counter()
    again = pim_rate(pim("duplex"))
    assert again == first
    assert isinstance(again, PimRate)
    assert time.perf_counter() - begin < 0.5


def test_reads_that_wait_for_arithmetic_open_rows_in_its_time():
    few, many = (paced(pim("duplex"), tokens, spaces=1) for tokens in (8, 16))
    assert few.read_cycles == 4
    assert few.waiting == pytest.approx(few.ahead, rel=1e-3)  # 8 tokens: what it is built for
    assert many.read_cycles == 8
    assert many.waiting < 0.9 * many.ahead == pytest.approx(0.45, rel=1e-3)
    hidden = paced(pim("duplex"), 16, spaces=2)
    assert many.waiting < hidden.waiting < hidden.ahead


def test_a_unit_at_every_bank_is_bound_by_arithmetic_from_two_tokens_on():
    two = paced(pim("bank-pim"), 2)
    assert two.read_cycles == 8
    assert two.ahead == pytest.approx(0.5, rel=0.01)
    with pytest.raises(BadInput, match="between 1 and 256"):
        paced(pim("bank-pim"), 0)


def test_a_device_without_a_gang_or_of_another_size_is_refused():
    with pytest.raises(BadInput, match="names no `gang`"):
        memory_of(pim("samsung-hbm-pim"))
    wide = msgspec.structs.replace(pim("duplex"), gang=Gang(bank_groups=8, banks=2))
    with pytest.raises(BadInput, match="does not fit"):
        pim_rate(wide)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("0", "must give 1..4096 cycles, gives 0"),
        ("-1", "must give 1..4096 cycles, gives -1"),
        ("tCCDL-tCCDL", "must give 1..4096 cycles, gives 0"),
        ("4097", "must give 1..4096 cycles, gives 4097"),
        ("999999+" * 20 + "999999", "must give 1..4096 cycles, gives 20999979"),
        ("tXYZ", "names a timing that hbm3-5.2-duplex does not have"),
        ("4000", "slower than the host"),
        ("tCCDL*2", "`read_cycles` must be timing names and numbers joined by + and -"),
    ],
)
def test_reads_of_no_possible_length_are_refused_with_their_key(tmp_path, capsys, given, said):
    text = (CATALOGUE / "pim" / "duplex.toml").read_text()
    file = tmp_path / "x.toml"
    file.write_text(
        text.replace('read_cycles = { value = "tCCDL"', f'read_cycles = {{ value = "{given}"')
    )
    assert main(["pim", "bandwidth", "--on", str(file)]) == 2
    error = " ".join(capsys.readouterr().err.split())
    assert said in error
    assert error.startswith("moesaic: ")
    assert "gang" in error


def report_of(config, gang, met):
    done = met.run.commands
    return check_commands(
        config, done.tick, done.channel, done.command, done.bank, done.row, gang=gang
    )


@SETS
@pytest.mark.parametrize("pseudo_channels", [1, 2])
def test_streams_to_different_bundles_lose_nothing_on_buses_of_their_own(config, pseudo_channels):
    met = meet(config, BUNDLE, "other", pseudo_channels=pseudo_channels)
    assert met.host >= 0.995 * met.host_alone
    assert met.pim >= 0.995 * met.pim_alone
    assert report_of(config, BUNDLE, met).ok


@SETS
def test_on_one_bus_two_pseudo_channels_cost_the_host_half_and_one_costs_it_nothing(config):
    """Two hosts at a read each 2 CK fill the column bus; two units take one slot in 4 CK each."""
    gang = msgspec.structs.replace(BUNDLE, own_bus=False)
    one, two = (meet(config, gang, "other", pseudo_channels=n) for n in (1, 2))
    assert one.host >= 0.995 * one.host_alone
    assert two.host == pytest.approx(0.5 * two.host_alone, rel=0.01)
    assert min(one.pim / one.pim_alone, two.pim / two.pim_alone) >= 0.995
    assert report_of(config, gang, two).ok


@SETS
def test_streams_to_one_bundle_take_turns_and_both_lose(config):
    met = meet(config, BUNDLE, "same")
    assert 0.1 < met.host / met.host_alone < 0.5
    assert 0.5 < met.pim / met.pim_alone < 0.95
    assert report_of(config, BUNDLE, met).ok


def test_no_other_gang_no_other_banks():
    with pytest.raises(BadInput, match="one gang"):
        meet(one_channel(dram_config(NAMES[0])), Gang(stack_ids=2, bank_groups=4, banks=4))
