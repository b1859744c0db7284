"""moesaic tune run, survey, fit: what is shown and written; one sentence for what cannot be."""

from __future__ import annotations

import json
import types

import msgspec
import numpy as np
import pytest

from moesaic.base import BadInput
from moesaic.base.spec import load
from moesaic.cli import tune_survey
from moesaic.cli.app import main
from moesaic.kernels import autotune
from moesaic.kernels.compiled.profile import Profile
from moesaic.kernels.library.part import part_of
from moesaic.kernels.prediction import fit, surveys
from moesaic.kernels.prediction.fit import Fit
from moesaic.kernels.prediction.predicted_part import PredictedPart, space_of
from moesaic.kernels.prediction.surveys import Measured
from moesaic.kernels.runners import survey as surveying
from moesaic.kernels.search import read_recording
from moesaic.kernels.search.runner import Trial
from moesaic.kernels.search.space import Space

RUN = ["tune", "run", "grouped_gemm", "--model", "mixtral-8x7b", "--tokens", "64"]
ON_PAPER = [*RUN, "--on", "h100-sxm", "--budget", "3"]


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    """The folder of a finished run."""
    pytest.importorskip("cupy", reason="needs cupy and NVRTC: pip install 'moesaic[gpu]'")
    out = tmp_path_factory.mktemp("tuned")
    assert main([*ON_PAPER, "--out", str(out), "--json"]) == 0
    return out


@pytest.fixture
def quick(monkeypatch):
    """A space of the first hundred configurations instead of 27,024."""

    def few(part, arch):
        space = space_of(part, arch)
        return Space(space.name, space.parameters, space.table[:100])

    monkeypatch.setattr("moesaic.kernels.prediction.predicted_part.space_of", few)


def refused(capsys, words):
    """The one line that the command prints where it exits with 2."""
    assert main(words) == 2
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.strip().splitlines()
    return line


def test_a_run_on_paper_ranks_all_and_writes_its_trials(tuned, capsys):
    kept = read_recording(tuned / "t4.json")
    journal = (tuned / "journal.jsonl").read_text().splitlines()
    assert len(kept.trials) == 3
    assert [json.loads(line)["config"] for line in journal[1:]] == [
        trial.config for trial in kept.trials
    ]
    assert kept.evidence == "simulated"
    assert "mixtral-8x7b gate-up, 64 tokens" in json.dumps(kept.about)


def test_the_same_command_goes_on_from_its_journal(tuned, capsys, monkeypatch):
    before = (tuned / "journal.jsonl").read_bytes()
    assert main([*ON_PAPER[:-1], "4", "--out", str(tuned)]) == 0
    after = (tuned / "journal.jsonl").read_bytes()
    assert after.startswith(before)
    assert len(after.splitlines()) == len(before.splitlines()) + 1
    shown = capsys.readouterr().out
    assert "4 of 27024 tried" in shown
    for words in ("held by", "memory", "recorded us", "80% of cases", "Evidence: simulated",
                  "Roofline 562", "The default takes", "Constants of h100-sxm"):  # fmt: skip
        assert words in shown


def test_a_run_that_is_interrupted_keeps_what_it_has_and_goes_on(
    quick, capsys, monkeypatch, tmp_path
):
    pytest.importorskip("cupy", reason="needs cupy and NVRTC: pip install 'moesaic[gpu]'")
    whole, asked = PredictedPart.__call__, []

    def stopped(self, row):
        asked.append(row)
        if len(asked) == 2:
            raise KeyboardInterrupt
        return whole(self, row)

    words = [*ON_PAPER, "--strategy", "random", "--out", str(tmp_path), "--json"]
    monkeypatch.setattr(PredictedPart, "__call__", stopped)
    assert main(words) == 130
    assert len(json.loads(capsys.readouterr().out)["trials"]) == 1
    assert main(words) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["trials"]) == 3
    assert len(asked) == 4  # the one that was interrupted twice; the default is not in this space
    assert found["default"] is None
    assert found["evidence"] == "simulated"
    assert found["bound_s"] < found["seconds"]


def test_a_run_that_is_interrupted_at_once_has_nothing_to_show(quick, monkeypatch, capsys):
    def stopped(self, row):
        raise KeyboardInterrupt

    monkeypatch.setattr(PredictedPart, "__call__", stopped)
    assert main(ON_PAPER) == 130
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "change",
    [
        ["--product", "down"],
        ["--seed", "1"],
        ["--strategy", "random"],
    ],
    ids=lambda change: change[0],
)
def test_the_journal_of_other_work_is_refused_and_left_as_it_is(tuned, capsys, change):
    capsys.readouterr()
    before = {file.name: file.read_bytes() for file in tuned.iterdir()}
    line = refused(capsys, [*ON_PAPER, "--out", str(tuned), *change])
    assert "is the journal of another search" in line
    assert {file.name: file.read_bytes() for file in tuned.iterdir()} == before


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["route", "--model", "mixtral-8x7b", "--on", "h100-sxm"], "no kernel with a space"),
        (["grouped-gemm", "--on", "h100-sxm"], "--model: name a model, such as mixtral-8x7b"),
        (["grouped-gemm", "--model", "mixtrel", "--on", "h100-sxm"], "no model is called"),
        (["grouped-gemm", "--model", "mixtral-8x7b", "--on", "h1000"], "no device is called"),
        (["grouped-gemm", "--model", "mixtral-8x7b", "--on", "mi300x"], "mi300x: no kernel is"),
        (["grouped-gemm", "--model", "mixtral-8x7b", "--on", "h100-sxm", "--ep", "3"],
         "ep: must divide the 8 experts"),
        (["grouped-gemm", "--model", "mixtral-8x7b", "--on", "h100-sxm", "--tokens", "9" * 12],
         "tokens: must be from 1 to"),
        (["grouped-gemm", "--model", "mixtral-8x7b", "--on", "h100-sxm", "--tokens", "1",
          "--ep", "8"], "the first of 8 ranks has none of them"),
        (["decode", "--model", "mixtral-8x7b", "--on", "h100-sxm"],
         "kernel: no model predicts it; grouped-gemm has one. With a GPU: --on local"),
        (["grouped-gemm", "--model", "mixtral-8x7b", "--on", "h100-sxm", "--strategy",
          "transfer"], "`transfer` ranks by teachers"),
        (["experts-cpu", "--on", "h100-sxm"], "--on: runs on the processor of this machine"),
    ],
    ids=lambda given: "" if isinstance(given, list) else given[:24],
)  # fmt: skip
def test_what_cannot_be_tuned_is_one_sentence_and_writes_nothing(capsys, tmp_path, words, sentence):
    line = refused(capsys, ["tune", "run", *words, "--out", str(tmp_path / "out")])
    assert line.startswith("moesaic: ")
    assert sentence in line
    assert not list(tmp_path.iterdir())


def test_without_a_gpu_nothing_is_measured_and_the_sentence_says_why(capsys, monkeypatch):
    def none():
        raise BadInput("no GPU is in this machine")

    monkeypatch.setattr(autotune, "local_gpu", none)
    assert refused(capsys, [*RUN, "--on", "local"]) == "moesaic: no GPU is in this machine"


def test_a_shape_that_no_configuration_serves_names_the_rule(capsys, monkeypatch):
    def odd(*given, **more):
        part = part_of(*given, **more)
        return msgspec.structs.replace(
            part, shape=type(part.shape)(rows=(3,), depth=4096, columns=48)
        )

    monkeypatch.setattr(autotune, "part_of", odd)
    line = refused(capsys, ON_PAPER)
    assert "no configuration is left by the rule columns % BN == 0" in line


def test_out_must_be_a_folder(capsys, tmp_path):
    file = tmp_path / "file"
    file.write_text("mine")
    assert "is a file; name a folder" in refused(capsys, [*ON_PAPER, "--out", str(file)])
    assert "cannot be written" in refused(capsys, [*ON_PAPER, "--out", str(file / "below")])
    assert file.read_text() == "mine"


@pytest.fixture
def measuring(monkeypatch):
    """A GPU that takes what the survey of a real one says; Ctrl-C after `most` launches."""
    settings = types.SimpleNamespace(most=10**9, name="NVIDIA H100 80GB HBM3")
    real = surveys.shipped("h100-sxm")

    def gpu():
        return types.SimpleNamespace(name=settings.name, arch="sm_90a", driver="13000")

    def measured(parts, space, deadline_s):
        for part in parts:
            place = [one.name for one in real.parts].index(part.name)
            for count, row in enumerate(real.rows_of(place)[: len(space)]):
                if count >= settings.most:
                    raise KeyboardInterrupt
                config = real.configs[row]
                counts = real.counts
                yield Measured(
                    part=part,
                    config=config,
                    cubin_hash=real.cubins[row],
                    profile=Profile(
                        threads=int(32 * counts.warps[row]),
                        registers=128,
                        spilled_bytes=int(counts.spilled_bytes[row]),
                        local_bytes=int(counts.local_bytes[row]),
                        shared_bytes=1024,
                        blocks=int(counts.blocks[row]),
                        limiter="registers",
                        step={
                            "mma": float(counts.step_mma[row]),
                            "instructions": float(counts.step_instructions[row]),
                            "wavefronts": float(counts.step_wavefronts[row]),
                            "load_sectors": float(counts.step_sectors[row]),
                        },
                        tile={"instructions": float(counts.tile_instructions[row])},
                    ),
                    trial=Trial(config=config, status="ok", seconds=float(real.seconds[row])),
                )

    monkeypatch.setattr("moesaic.kernels.runners.local_gpu", gpu)
    monkeypatch.setattr(surveying, "survey", measured)
    return settings


SURVEY = ["tune", "survey", "--parts", "mixtral-8x7b:64,qwen3-30b-a3b:128", "--products", "gate-up",
          "--configs", "101"]  # fmt: skip


def test_a_survey_is_measured_fitted_scored_and_drawn(measuring, monkeypatch, capsys, tmp_path):
    known = fit.shipped("h100-sxm").constants
    monkeypatch.setattr(fit, "constants_of", lambda *_: known)
    assert main([*SURVEY, "--out", str(tmp_path)]) == 0
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "constants.toml", "survey.parquet", "survey.png", "survey.svg",
    ]  # fmt: skip
    found = load(Fit, tmp_path / "constants.toml")
    assert [one.part for one in found.unseen] == [
        "mixtral-8x7b gate-up, 64 tokens", "qwen3-30b-a3b gate-up, 128 tokens",
    ]  # fmt: skip
    assert max(one.mape for one in found.unseen) < 0.1
    assert found.gpu == "h100-sxm"
    assert surveys.read(tmp_path / "survey.parquet").about["device"] == measuring.name
    shown = capsys.readouterr().out
    assert "each part predicted by constants fitted to the others" in " ".join(shown.split())


def test_a_survey_that_is_stopped_keeps_what_is_measured(measuring, capsys, tmp_path):
    measuring.most = 50
    line = capsys.readouterr
    assert main([*SURVEY, "--out", str(tmp_path)]) == 2
    said = line().err
    assert "stopped; 50 measurements are kept" in said
    assert "holds 50 measurements; 200 are needed to fit constants" in said
    assert np.isfinite(surveys.read(tmp_path / "survey.parquet").seconds).sum() == 50


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--parts", "mixtral-8x7b"], "--parts: must be MODEL:TOKENS or MODEL:TOKENS:RANKS"),
        (["--parts", "mixtral-8x7b:x"], "--parts: must be MODEL:TOKENS"),
        (["--parts", "mixtrel:8"], "no bundled model is called 'mixtrel'"),
        (["--parts", "mixtral-8x7b:8:3"], "ep: must divide"),
        (["--products", "both"], "--products: must be gate-up, down, or both"),
    ],
)
def test_what_cannot_be_surveyed_is_one_sentence(measuring, capsys, tmp_path, words, sentence):
    assert sentence in refused(capsys, [*SURVEY, *words, "--out", str(tmp_path / "out")])
    assert not list(tmp_path.iterdir())


def test_a_gpu_that_the_catalogue_lacks_is_not_surveyed(measuring, capsys, tmp_path):
    measuring.name = "NVIDIA RTX A6000"
    line = refused(capsys, [*SURVEY, "--out", str(tmp_path / "out")])
    assert "is no GPU of the catalogue" in line


def test_only_a_survey_is_fitted(capsys, tmp_path):
    other = tmp_path / "other.parquet"
    other.write_text("no survey")
    assert "other.parquet" in refused(capsys, ["tune", "fit", str(other)])
    assert "none.parquet" in refused(capsys, ["tune", "fit", str(tmp_path / "none.parquet")])


def test_the_parts_of_a_survey_are_named_in_short():
    parts = tune_survey._parts("mixtral-8x7b:64, deepseek-v3:1024:8", "down")
    assert [one.name for one in parts] == [
        "mixtral-8x7b down, 64 tokens", "deepseek-v3 down, 1024 tokens on one of 8 ranks",
    ]  # fmt: skip
