"""Surveys: measured spaces of the grouped GEMM as Parquet files, which come from anywhere."""

import numpy as np
import pandas as pd
import pytest

from moesaic.base import BadInput, parquet
from moesaic.kernels.compiled.profile import Profile
from moesaic.kernels.library.grouped_gemm import GROUPED_GEMM
from moesaic.kernels.library.part import part_of
from moesaic.kernels.prediction import surveys
from moesaic.kernels.prediction.counts import FREE, MACROS
from moesaic.kernels.prediction.surveys import Measured, read, shipped, shipped_gpus, write
from moesaic.kernels.search.runner import Trial
from moesaic.workload.load import model

ABOUT = {"kind": "survey", "gpu": "h100-sxm", "device": "NVIDIA H100 80GB HBM3"}
CONFIGS = [GROUPED_GEMM.configs[name] for name in ("gate-up-16x64-gather", "gate-up-32x64-gather")]
PARTS = [part_of(model("mixtral-8x7b"), "gate-up", tokens) for tokens in (8, 64)]
PROFILE = Profile(
    threads=128,
    registers=100,
    spilled_bytes=8,
    local_bytes=16,
    shared_bytes=40_960,
    blocks=4,
    limiter="registers",
    step={"instructions": 100.5, "mma": 32.0, "wavefronts": 64.0, "load_sectors": 96.0},
    tile={"instructions": 900.0, "mma": 0.0},
)


def measured(part, config, seconds: float | None = 1e-4):
    trial = (
        Trial(config=config, status="ok", seconds=seconds, spread=0.01, repeats=9)
        if seconds
        else Trial(config=config, status="wrong", reason="far off")
    )
    return Measured(part=part, config=config, cubin_hash="ab", profile=PROFILE, trial=trial)


ROWS = [
    measured(PARTS[1], CONFIGS[0]),
    measured(PARTS[1], CONFIGS[1], 2e-4),
    measured(PARTS[0], CONFIGS[0], 3e-4),
    measured(PARTS[0], CONFIGS[1], None),
]


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("survey") / "survey.parquet"
    write(path, ROWS, ABOUT)
    return path


@pytest.fixture(scope="module")
def columns(file):
    texts = ("model", "product", "status", "cubin_hash", "limiter")
    integers = ("tokens", "ep", *MACROS)
    floats = ("seconds", "spread", *surveys._COUNTED)
    kinds = {"text": texts, "int": integers, "float": floats}
    return parquet.read(file, {name: kind for kind, names in kinds.items() for name in names})


@pytest.fixture
def changed(columns, tmp_path):
    """(columns) -> the survey with these columns changed."""

    def change(more):
        path = tmp_path / "changed.parquet"
        about = {f"moesaic.{key}": value for key, value in ABOUT.items()}
        parquet.write(path, {**columns, **more}, about)
        return path

    return change


def test_what_was_written_is_read_again(file):
    found = read(file)
    assert found.gpu == "h100-sxm"
    assert found.about == ABOUT
    assert found.parts == (PARTS[1], PARTS[0])
    assert found.part.tolist() == [0, 0, 1, 1]
    assert found.configs == tuple(dict(row.config) for row in ROWS)
    assert found.seconds.tolist() == [1e-4, 2e-4, 3e-4, np.inf]
    assert found.spread.tolist() == [0.01, 0.01, 0.01, 0]
    assert found.cubins == ("ab",) * 4
    assert found.counts.step_instructions.tolist() == [100.5] * 4
    assert found.counts.step_sectors.tolist() == [96] * 4
    assert found.counts.blocks.tolist() == [4] * 4


def test_a_part_of_a_survey_teaches_as_a_searched_space(file):
    teacher = read(file).teacher(1)
    assert teacher.name == f"{PARTS[0].name} on h100-sxm"
    assert list(teacher.space.parameters) == list(FREE)
    seconds = [
        teacher.seconds[teacher.space.row({n: one[n] for n in FREE})] for one in CONFIGS
    ]  # fmt: skip
    assert seconds == [3e-4, np.inf]


def test_the_shipped_surveys_are_of_gpus_of_the_catalogue_and_every_launch_ran():
    assert shipped_gpus() == ["h100-sxm", "h200-sxm"]
    sizes = {"h100-sxm": (23_956, 22), "h200-sxm": (4_800, 8)}
    for gpu, (rows, parts) in sizes.items():
        found = shipped(gpu)
        assert found.gpu == gpu
        assert (len(found.seconds), len(found.parts)) == (rows, parts)
        assert np.isfinite(found.seconds).all()


def test_a_gpu_without_a_survey_is_told_so():
    with pytest.raises(BadInput, match="no survey of a GPU is called 'a100'"):
        shipped("a100")


def test_nothing_measured_writes_nothing(tmp_path):
    with pytest.raises(BadInput, match="nothing was measured"):
        write(tmp_path / "no.parquet", [], ABOUT)
    assert not list(tmp_path.iterdir())


def test_a_table_of_something_else_is_no_survey(tmp_path):
    other = tmp_path / "other.parquet"
    parquet.write(other, {"x": [1]}, {"moesaic.kind": "layers"})
    with pytest.raises(BadInput, match="is no survey; make one with `moesaic tune survey`"):
        read(other)


@pytest.mark.parametrize("data", [b"", b"PAR1 and so on", b"\0" * 4096])
def test_a_file_that_is_no_parquet_is_refused(tmp_path, data):
    other = tmp_path / "other.parquet"
    other.write_bytes(data)
    with pytest.raises(BadInput, match=r"other\.parquet"):
        read(other)
    with pytest.raises(BadInput, match=r"none\.parquet"):
        read(tmp_path / "none.parquet")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model": ["mixtral-8x7b"] * 3 + ["/etc/passwd"]}, "no bundled model is called"),
        ({"model": ["mixtral-8x7b"] * 3 + [None]}, "model"),
        ({"status": ["ok"] * 3 + [None], "product": ["gate-up"] * 3 + [None]}, "product: row 4"),
        ({"product": ["gate-up"] * 3 + ["sideways"]}, "product: row 4 cannot be of a survey"),
        ({"tokens": [8, 8, 8, 2**40]}, "tokens: must be from 1 to"),
        ({"tokens": [8, 8, 8, -1]}, "tokens: row 4"),
        ({"tokens": pd.array([8, None, 8, 8], "Int64")}, "tokens: row 2"),
        ({"BM": pd.array([8, None, 16, 16], "Int64")}, "BM: row 1"),
        ({"ep": [1, 1, 1, 3]}, "ep: must divide the 8 experts"),
        ({"BM": [16, 16, 0, 16]}, "BM: row 3 cannot be of a survey"),
        ({"seconds": [1, np.nan, 1, 1]}, "seconds: row 2"),
        ({"seconds": [np.inf, 1, 1, 1]}, "seconds: row 1"),
        ({"registers": [1, np.nan, 1, 1]}, "registers: row 2"),
        ({"step_mma": [1, 1, 1, np.inf]}, "step_mma: row 4"),
        ({"seconds": ["1", "2", "3", "4"]}, "seconds: must hold float, holds VARCHAR"),
    ],
)
def test_numbers_that_no_survey_holds_are_refused_with_their_row(changed, change, words):
    path = changed(change)
    with pytest.raises(BadInput, match=words) as fault:
        read(path)
    assert str(path) in str(fault.value)


def test_what_makes_a_reader_work_for_long_is_refused_first(changed, monkeypatch):
    path = changed({})
    monkeypatch.setattr(surveys, "MOST_PARTS", 1)
    with pytest.raises(BadInput, match="names 2 parts; at most 1 are read"):
        read(path)
    monkeypatch.setattr(surveys, "MOST_ROWS", 3)
    with pytest.raises(BadInput, match="claims 4 rows; at most 3"):
        read(path)


def test_a_survey_without_rows_is_refused(changed, columns):
    with pytest.raises(BadInput, match=r"changed\.parquet"):
        read(changed({name: column[:0] for name, column in columns.items()}))
