"""The catalogue says what was published, with a source beside every figure."""

import math

import pytest

from moesaic.base import spec
from moesaic.hardware import Fpga, Gpu, Pim
from moesaic.hardware.figures import figures
from moesaic.hardware.load import KINDS, device, link, names, system

DEVICE_NAMES = [name for name in names() if name != "local"]

# name: (capacity GB, bandwidth GB/s, bf16, fp8, int8 in T/s, units, power W), dense, as published.
GOLDEN = {
    "a100-40gb-sxm": (40, 1555, 312, None, 624, 108, 400),
    "a100-80gb-sxm": (80, 2039, 312, None, 624, 108, 400),
    "a100-80gb-pcie": (80, 1935, 312, None, 624, 108, 300),
    "h100-sxm": (80, 3350, 989.4, 1978.9, 1978.9, 132, 700),
    "h100-pcie": (80, 2000, 756.5, 1513, 1513, 114, 350),
    "h200-sxm": (141, 4800, 989.4, 1978.9, 1978.9, 132, 700),
    "b200-sxm": (180, 7700, 2250, 4500, 4500, 148, 1000),
    "gb200": (186, 8000, 2500, 5000, 5000, 148, 1200),
    "b300-sxm": (288, 7750, 2250, 4500, 153.5, 148, 1100),
    "l40s": (48, 864, 362, 733, 733, 142, 350),
    "l4": (24, 300, 121, 242, 242, 58, 72),
    "rtx-4090": (24, 1008, 165.2, 330.3, 660.6, 128, 450),
    "rtx-5090": (32, 1792, 209.5, 419, 838, 170, 575),
    "rtx-pro-6000-server": (96, 1792, 467.8, 935.6, 935.6, 188, 600),
    "mi250x": (128, 3277, 383, None, 383, 220, 560),
    "mi300x": (192, 5300, 1307.4, 2614.9, 2614.9, 304, 750),
    "mi325x": (256, 6000, 1307.4, 2614.9, 2614.9, 304, 1000),
    "tpu-v5e": (16, 819, 197, None, 393, 1, None),
    "tpu-v5p": (95, 2765, 459, 459, 918, 2, None),
    "gaudi3": (128, 3675, 1835, 1835, None, 64, 900),
    "apple-m2-ultra": (192, 800, 27.2, None, None, 76, None),
    "apple-m3-ultra": (512, 819, 28.2, None, None, 80, None),
    "apple-m4-max": (128, 546, 18.4, None, None, 40, None),
}
# board: (dsp, bram36, off-chip GB/s)
BOARDS = {
    "zcu102": (2520, 912, 19.2),
    "zcu104": (1728, 312, 19.2),
    "kv260": (1248, 144, 19.2),
    "u50": (5952, 1344, 316),
    "u55c": (9024, 2016, 460),
    "u280": (9024, 2016, 460),
    "u250": (12288, 2688, 77),
    "u200": (5867, 1766, 77),
    "vck190": (1968, 967, 25.6),
    "vck5000": (1968, 967, 102.4),
    "v80": (10848, 3741, 819),
}


def every_item():
    yield from (device(name) for name in DEVICE_NAMES)
    yield from (link(name) for name in names("link"))
    yield from (system(name) for name in names("system"))


def test_all_gpus_of_the_table_are_there_and_no_others():
    assert sorted(GOLDEN) == names("gpu")


@pytest.mark.parametrize("name", GOLDEN)
def test_a_gpu_states_the_published_figures(name):
    gpu = device(name)
    assert isinstance(gpu, Gpu)
    capacity, bandwidth, *peaks, units, power = GOLDEN[name]
    # Vendors print binary gigabytes as GB; the L40S keeps some of its 48 for error correction.
    held = 46068 * 2**20 if name == "l40s" else capacity * 2**30
    assert gpu.memory.capacity_bytes == pytest.approx(held)
    assert gpu.memory.bandwidth_bytes_per_s == pytest.approx(bandwidth * 1e9)
    for key, peak in zip(("bf16", "fp8", "int8"), peaks, strict=True):
        stated = gpu.peak_flops_per_s.get(key)
        assert stated == (None if peak is None else pytest.approx(peak * 1e12))
    assert (gpu.units, gpu.power_w) == (units, power)


@pytest.mark.parametrize("name", BOARDS)
def test_a_board_multiplies_once_a_cycle_in_each_dsp(name):
    board = device(name)
    assert isinstance(board, Fpga)
    assert board.clock_hz is not None
    dsp, bram36, bandwidth = BOARDS[name]
    assert (board.dsp, board.bram36) == (dsp, bram36)
    assert board.memory.bandwidth_bytes_per_s == pytest.approx(bandwidth * 1e9)
    assert board.peak_flops_per_s["int16"] == pytest.approx(2 * dsp * board.clock_hz)
    assert board.peak_flops_per_s["int8"] == pytest.approx(4 * dsp * board.clock_hz)


def test_all_boards_of_the_table_are_there():
    assert sorted(BOARDS) == names("fpga")


def test_every_figure_of_the_catalogue_has_a_source():
    for item in every_item():
        bare = [figure.path for figure in figures(item) if not figure.source.strip()]
        assert not bare, (item.name, bare)


def test_an_item_bears_the_name_of_its_file():
    assert [device(name).name for name in DEVICE_NAMES] == DEVICE_NAMES
    for kind, load in (("link", link), ("system", system)):
        assert [load(name).name for name in names(kind)] == names(kind)


def test_no_name_means_two_things():
    everything = [name for kind in KINDS for name in names(kind)]
    assert len(everything) == len(set(everything))


def test_every_item_survives_the_way_to_toml_and_back(tmp_path):
    for item in every_item():
        path = tmp_path / "item.toml"
        path.write_text(spec.dump(item))
        again = spec.load(type(item), path)
        assert again == item


def test_a_dumped_system_loads_as_a_system(tmp_path):
    path = tmp_path / "again.toml"
    path.write_text(spec.dump(system("duplex-2x8")))
    assert system(path) == system("duplex-2x8")


def test_the_stack_of_duplex_reaches_its_published_rate():
    duplex = device("duplex")
    assert isinstance(duplex, Pim)
    assert duplex.peak_flops_per_s["bf16"] / 5 == pytest.approx(21.3e12, rel=2e-3)
    op_per_byte = duplex.peak_flops_per_s["bf16"] / duplex.internal_bandwidth_bytes_per_s
    assert op_per_byte == pytest.approx(7.9, abs=0.05)
    assert duplex.internal_bandwidth_bytes_per_s == 4 * duplex.memory.bandwidth_bytes_per_s


def test_bank_pim_computes_one_operation_for_each_byte():
    bank = device("bank-pim")
    assert isinstance(bank, Pim)
    assert bank.internal_bandwidth_bytes_per_s == 16 * bank.memory.bandwidth_bytes_per_s
    assert bank.peak_flops_per_s["bf16"] == bank.internal_bandwidth_bytes_per_s


def test_logic_pim_saves_the_published_share_of_read_energy():
    duplex = device("duplex")
    assert isinstance(duplex, Pim)
    assert duplex.internal_energy_j_per_byte is not None
    assert duplex.memory.energy_j_per_byte is not None
    saving = 1 - duplex.internal_energy_j_per_byte / duplex.memory.energy_j_per_byte
    assert saving == pytest.approx(1 - 1.81 / 3.48)


def test_dense_peaks_are_never_mixed_with_sparse_ones():
    for name in names("gpu"):
        peaks = device(name).peak_flops_per_s
        if "fp8" in peaks:
            assert peaks["fp8"] / peaks["bf16"] == pytest.approx(
                round(peaks["fp8"] / peaks["bf16"]), rel=0.02
            )
        assert all(math.isfinite(peak) for peak in peaks.values())


def test_a_scale_up_link_gives_one_direction():
    assert link("nvlink4").bandwidth_bytes_per_s == 900e9 / 2
    assert link("nvlink5").bandwidth_bytes_per_s == 1800e9 / 2
    assert link("infiniband-ndr").bandwidth_bytes_per_s == 400e9 / 8
