"""The chapter on FPGA designs: brackets beside boards, inside or outside said plainly."""

from __future__ import annotations

from typing import Any

import pytest

from moesaic.base import BadInput
from moesaic.sweeps.chapters.fpga import Designs, designs
from moesaic.sweeps.plots.style import svg


def chapter(**change: Any) -> Designs:
    asked: dict[str, Any] = {"name": "fpga", "title": "Boards", "designs": ("edge-moe", "ubimoe")}
    asked |= {"detail": "bound", **change}
    return Designs(**asked)


def test_every_design_and_token_count_stands_beside_its_board():
    section = designs(chapter(), 0)
    assert list(section.data) == [
        "edge-moe, 129 tokens", "edge-moe, 197 tokens", "ubimoe, 129 tokens", "ubimoe, 197 tokens",
    ]  # fmt: skip
    assert [each["board_s"] for each in section.data.values()] == [
        34.64e-3, 34.64e-3, 25.76e-3, 25.76e-3,
    ]  # fmt: skip
    places = [words.partition(" ms lies ")[2].split()[0] for words in section.words]
    assert places == ["outside", "inside", "outside", "inside"]
    assert section.evidence == ("simulated", "measured-published")
    assert svg(section.figure) == svg(designs(chapter(), 0).figure)


def test_the_tables_terms_add_up_to_its_brackets():
    (table,) = designs(chapter(tokens=(197,)), 0).tables
    cells = {row[0]: row[1:] for row in table.rows}
    assert cells.pop("cycle by cycle") == ("-", "-")
    rows = {name: [float(cell) for cell in row] for name, row in cells.items()}
    ends = {name: rows.pop(name) for name in ("full overlap", "no overlap", "board")}
    for column in range(2):
        shown = sum(cells[column] for name, cells in rows.items() if "(hideable)" not in name)
        assert shown == pytest.approx(ends["full overlap"][column], abs=0.05)
        total = sum(cells[column] for cells in rows.values())
        assert total == pytest.approx(ends["no overlap"][column], abs=0.05)


def test_an_image_in_time_stands_between_or_beside_them():
    section = designs(chapter(detail="cycle", designs=("ubimoe",), tokens=(65,)), 0)
    (found,) = section.data.values()
    assert found["full_overlap_s"] <= found["simulated_s"]
    assert f"an image takes {found['simulated_s'] * 1e3:.2f} ms" in section.words[0]


def test_a_board_without_a_published_figure_is_simulated_only():
    section = designs(chapter(on="u280"), 0)
    assert section.evidence == ("simulated",)
    assert section.words == ()
    assert section.tables[0].rows[-1][1:] == ("-",) * 4


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"on": "duplex"}, "duplex: is no FPGA"),
        ({"designs": ("edge",)}, "edge-moe"),
        ({"model": "mixtral-8x7b"}, "do not run"),
    ],
)
def test_what_no_board_runs_is_refused(change, says):
    with pytest.raises(BadInput, match=says):
        designs(chapter(**change), 0)
