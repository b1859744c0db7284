"""Faults put into the kernels on purpose: a check sees each, or it is known why none does."""

from __future__ import annotations

import msgspec
import pytest

from moesaic.base import BadInput
from moesaic.cli.app import main
from moesaic.kernels import kernel
from moesaic.kernels.compiled.mutants import SeededFault, mutants, trial

ALL = mutants()
KINDS = {
    "weak wait", "missing wait", "missing barrier", "swapped fragment", "stage off by one",
    "wrong swizzle", "wrong predicate", "short loop", "wrong expert offset", "lost tail rows",
    "wrong scale",
}  # fmt: skip


def name(mutant) -> str:
    return f"{mutant.kernel}-{mutant.config}-{mutant.fault.kind}-{ALL.index(mutant)}"


def test_the_mutants_are_of_every_kind_and_kernel_and_change_what_is_there_once():
    assert len(ALL) >= 60
    assert {one.fault.kind for one in ALL} == KINDS
    for one in ALL:
        changed = msgspec.structs.replace(
            kernel(one.kernel), changes={one.fault.at: (one.fault.old, one.fault.new)}
        )
        assert changed.texts() != kernel(one.kernel).texts()
        assert one.config in kernel(one.kernel).configs


def test_nearly_all_mutants_are_expected_to_be_seen():
    assert sum(not one.fault.missed for one in ALL) >= 0.95 * len(ALL)


def seen(mutant) -> None:
    pytest.importorskip("cupy", reason="needs cupy and NVRTC: pip install 'moesaic[gpu]'")
    verdict = trial(mutant)
    assert verdict.caught != bool(mutant.fault.missed), verdict.words


@pytest.mark.parametrize("mutant", ALL[::4], ids=name)
def test_a_mutant_is_seen_unless_it_is_known_why_not(mutant):
    seen(mutant)


@pytest.mark.slow
@pytest.mark.parametrize("mutant", [m for i, m in enumerate(ALL) if i % 4], ids=name)
def test_every_other_mutant_is_seen_too(mutant):
    seen(mutant)


def test_a_change_that_does_not_fit_the_source_is_refused():
    fault = SeededFault("short loop", "split_reduce.cu", "no such text", "", ("down-2",))
    lost = msgspec.structs.replace(ALL[-1], kernel="split-reduce", config="down-2", fault=fault)
    with pytest.raises(BadInput, match=r"split_reduce.cu.*must be there once"):
        trial(lost)


def test_the_command_writes_its_table(tmp_path, capsys):
    pytest.importorskip("cupy", reason="needs cupy and NVRTC: pip install 'moesaic[gpu]'")
    out = tmp_path / "mutants.md"
    assert main(["kernel", "mutants", "split-reduce", "--out", str(out)]) == 0
    assert "4 of 4 mutants are seen (100.0%)" in capsys.readouterr().out
    assert "first >= numbers" in out.read_text()
    assert main(["kernel", "mutants", "--out", str(tmp_path / "m.txt")]) == 2
    assert main(["kernel", "mutants", "split-red"]) == 2
    assert "did you mean split-reduce" in capsys.readouterr().err
