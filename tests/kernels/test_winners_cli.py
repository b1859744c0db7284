"""moesaic tune tiles: rankings, scores and refusals; and the plot of winners by batch."""

from __future__ import annotations

import json

import pytest
import typer
from typer.testing import CliRunner

from moesaic.base import BadInput
from moesaic.cli.tiles import tiles
from moesaic.hardware.load import device
from moesaic.kernels.winners.features import TILES
from moesaic.sweeps.plots.style import svg
from moesaic.sweeps.plots.tiles import winner_by_batch
from moesaic.workload.load import model

APP = typer.Typer()
APP.command()(tiles)
MIXTRAL = ("mixtral-8x7b", "--tp", "4", "--on", "a100-80gb-sxm")


def said(*words: str) -> str:
    done = CliRunner().invoke(APP, list(words), catch_exceptions=False)
    assert done.exit_code == 0
    return done.output


def test_tiles_are_listed_with_their_chances_beside_the_published_winner():
    shown = said(*MIXTRAL, "--batch", "64")
    assert "△ 1." in shown
    assert "○ winner" in shown
    assert "32x128x128" in shown


def test_json_holds_every_tile_and_the_evidence_of_each_number():
    (one,) = json.loads(said(*MIXTRAL, "--batch", "64", "--json"))
    assert len(one["tiles"]) == len(TILES)
    assert (one["evidence"], one["published"]["evidence"]) == ("simulated", "measured-published")
    assert (one["experts"], one["inter"], one["hidden"]) == (8, 3584, 4096)


def test_the_score_table_names_classes_methods_and_the_data():
    shown = said("--score")
    for word in (
        "L40S",
        "frequency by batch",
        "ranker",
        "physics alone",
        "winners of known models",
    ):
        assert word in shown


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "needs a model and --on"),
        ((*MIXTRAL, "--score"), "leave out the model"),
        (("--score", "--out", "a.toml"), "written as .json"),
        ((*MIXTRAL, "--out", "a.pdf"), "written as .png or .svg"),
        ((*MIXTRAL, "--batch", "0"), "must be from 1"),
        (("mixtral-8x7b", "--on", "mi300x"), "NVIDIA GPUs only"),
        (("mixtral-8x7b", "--on", "l40s", "--tp", "3"), "must divide the expert width"),
    ],
)
def test_bad_questions_get_one_clear_sentence(words, message):
    with pytest.raises(BadInput, match=message):
        CliRunner().invoke(APP, list(words), catch_exceptions=False)


def test_the_plot_is_drawn_with_and_without_published_winners(tmp_path):
    file = tmp_path / "tiles.svg"
    said(*MIXTRAL, "--batch", "64", "--out", str(file))
    assert file.read_text(encoding="utf-8").rstrip().endswith("</svg>")
    again = (svg(winner_by_batch(model("mixtral-8x7b"), device("a100-80gb-sxm"), 4)) for _ in "ab")
    assert next(again) == next(again)
    panels = winner_by_batch(model("olmoe-1b-7b"), device("l40s"), 1).axes
    assert [axes.get_ylabel() for axes in panels] == ["tile rows", "tile columns", "tile depth"]
    assert all("published" not in str(axes.get_legend_handles_labels()[1]) for axes in panels)
