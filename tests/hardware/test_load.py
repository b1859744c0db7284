"""Names and files: what is found, what is refused, and in which words."""

import contextlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from moesaic.base import BadInput
from moesaic.hardware import Cpu, Link, Pim, System
from moesaic.hardware.load import CATALOGUE, device, link, names, system

GPU = (CATALOGUE / "gpu" / "h100-sxm.toml").read_text()
PIM = (CATALOGUE / "pim" / "duplex.toml").read_text()
LINK = (CATALOGUE / "link" / "nvlink4.toml").read_text()
SYSTEM = (CATALOGUE / "system" / "two-node-h100.toml").read_text()


@pytest.fixture
def write(tmp_path):
    def writer(text, name="own.toml"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return writer


def test_a_name_may_be_spelled_as_the_measured_tables_spell_it():
    assert device("H100_SXM") == device("h100-sxm")


def test_a_device_alone_is_a_system_of_one():
    alone = system("l40s")
    assert (alone.name, alone.devices, alone.tiers) == ("l40s", (device("l40s"),), ())


def test_a_system_is_read_as_a_list_of_parts():
    nodes = system("two-node-h100")
    assert nodes.devices == (device("h100-sxm"),) * 16
    assert [(tier.size, tier.link) for tier in nodes.tiers] == [
        (8, link("nvlink4")),
        (2, link("infiniband-ndr")),
    ]


def test_the_host_of_a_pim_is_the_device_of_that_name():
    duplex = device("duplex")
    assert isinstance(duplex, Pim)
    assert duplex.host == device("h100-sxm")


def test_a_part_in_a_file_counts_from_the_folder_of_the_system(write, tmp_path):
    write(GPU.replace("3350 GB/s", "4000 GB/s"), "mine.toml")
    path = write(SYSTEM.replace('"h100-sxm"', '"mine.toml"'))
    assert system(path).devices[3].memory.bandwidth_bytes_per_s == 4000e9


def test_a_system_may_name_this_machine(write, probed):
    path = write('name = "box"\n[[devices]]\ndevice = "local"\n')
    assert system(path).devices[0] == probed


def test_an_unknown_name_suggests_the_nearest():
    with pytest.raises(BadInput, match=r"did you mean .*dgx-h100"):
        system("dgx-h10")
    with pytest.raises(BadInput, match=r"did you mean .*nvlink4"):
        link("nvlinc4")
    with pytest.raises(BadInput, match="no kind of hardware"):
        names("gpus")


FAULTS = [
    (GPU, "3350 GB/s", "-3350 GB/s", "memory.bandwidth_bytes_per_s: expected `float` > 0"),
    (GPU, "3350 GB/s", "3350 GB/h", "unknown unit 'GB/h'"),
    (GPU, "3350 GB/s", "3350 GFLOP/s", "unknown unit"),
    (GPU, "3350 GB/s", "fast", "not a number with a unit"),
    (GPU, "1978.9 TFLOP/s", "3957.8 TFLOP/s", "fp8/bf16 = 4.00; dense peaks give 1 or 2"),
    (GPU, "1978.9 TFLOP/s", "1500 TFLOP/s", "fp8/bf16 = 1.52"),
    (GPU, "fp8 =", "fp9 =", "names 'fp9'; allowed are bf16, fp32"),
    (GPU, 'architecture = "Hopper"', "", "architecture"),
    (GPU, 'vendor = "NVIDIA"', 'vendor = "NVIDIA"\ncolour = "green"', "colour"),
    (GPU, 'kind = "gpu"', 'kind = "tpu"', "kind: must be one of gpu, pim, fpga, cpu"),
    (GPU, "year = { value = 2022,", "year = { value = 20.5,", "year: expected"),
    (PIM, 'level = "logic-die"', 'level = "moon"', "`level` must be one of"),
    (PIM, 'host = "h100-sxm"', 'host = "h100"', "host: no GPU is called 'h100'"),
    (PIM, 'host = "h100-sxm"', 'host = "own.toml"', "kind"),
    (SYSTEM, 'link = "nvlink4"', 'link = "nvlink44"', r"tiers\[0\].link: no link is called"),
    (SYSTEM, "count = { value = 16,", "count = { value = 15,", "join 16 devices .* holds 15"),
    (
        SYSTEM,
        "count = { value = 16,",
        "count = { value = 10000000000,",
        r"devices\[0\].count: must",
    ),
    (SYSTEM, "count = { value = 16,", "number = { value = 16,", r"devices\[0\].number: may hold"),
    (SYSTEM, 'device = "h100-sxm"', "device = 5", r"devices\[0\].device: must be a name"),
    (SYSTEM, "[[tiers]]", "[tiers]", "tiers"),
    (SYSTEM, 'host = "xeon-8480plus"', 'host = "h100-sxm"', "host: no CPU is called"),
]


@pytest.mark.parametrize(("text", "old", "new", "said"), FAULTS)
def test_a_wrong_file_is_refused_with_its_reason(write, text, old, new, said):
    assert old in text
    path = write(text.replace(old, new))
    with pytest.raises(BadInput, match=said) as fault:
        system(path)
    assert "own.toml" in str(fault.value)


def test_a_truncated_or_missing_file_is_refused(write, tmp_path):
    with pytest.raises(BadInput, match="is not TOML"):
        device(write(GPU[: len(GPU) // 2]))
    with pytest.raises(BadInput, match="no such file"):
        device(tmp_path / "none.toml")
    folder = tmp_path / "folder.toml"
    folder.mkdir()
    with pytest.raises(BadInput, match="folder"):
        device(folder)


def test_depth_and_digits_without_end_are_refused(write):
    with pytest.raises(BadInput):
        device(write('kind = "gpu"\n' + ".".join(["a"] * 3_000) + " = 1\n"))
    with pytest.raises(BadInput):
        device(write('kind = "gpu"\nyear = ' + "9" * 5000 + "\n"))


@pytest.mark.parametrize("text", [GPU, PIM, LINK, SYSTEM], ids=["gpu", "pim", "link", "system"])
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_bytes_changed_at_random_give_a_spec_or_a_fault(tmp_path, text, data):
    raw = bytearray(text.encode())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(raw) - 1))
        length = data.draw(st.integers(0, 12))
        raw[at : at + length] = data.draw(st.binary(max_size=6) | st.sampled_from(TOKENS))
    path = tmp_path / "mutated.toml"
    path.write_bytes(bytes(raw))
    load = link if text is LINK else system
    with contextlib.suppress(BadInput):
        assert isinstance(load(path), Link | System)


TOKENS = [b"-1", b"nan", b"inf", b"{}", b"[]", b"[[", b"true", b'"', b"\n", b" = ", b"1e400", b"0"]


def test_this_machine_is_probed_once_and_then_read(probed, monkeypatch):
    from moesaic.hardware import local

    monkeypatch.setattr(local, "probe", None)
    again = device("local")
    assert isinstance(again, Cpu)
    assert again == probed
    assert system("local").devices == (probed,)
