"""A runner whose configurations end in every way; a module that a process of its own can import."""

from __future__ import annotations

import ctypes
import os
import subprocess
import time

from moesaic.base import BadInput
from moesaic.base.evidence import Evidence
from moesaic.kernels.search.runner import Trial
from moesaic.kernels.search.space import Space


class Odd:
    """`does` says what becomes of a configuration. runs: how many this process has had."""

    about = {"kernel": "odd"}  # noqa: RUF012
    evidence: Evidence = "measured-here"
    space = Space.of("odd", [{"does": does} for does in (0, 1, 2, 3, 4, 5)])

    def __init__(self, note: str = ""):
        self.note, self.runs = note, 0

    def __call__(self, row: int) -> Trial:
        self.runs += 1
        does = [self.answer, self.crash, self.leave, self.hang, self.refuse, self.stumble]
        does[row]()
        return Trial(config=self.space.config(row), status="ok", seconds=float(self.runs))

    def answer(self) -> None:
        pass

    def crash(self) -> None:
        ctypes.string_at(0)

    def leave(self) -> None:
        os._exit(3)

    def hang(self) -> None:
        with subprocess.Popen(["sleep", "600"]) as sleeping:
            with open(self.note, "w") as stream:  # noqa: PTH123
                stream.write(f"{os.getpid()} {sleeping.pid}")
            time.sleep(600)

    def refuse(self) -> None:
        raise BadInput("is not for this machine", key="does", value=4)

    def stumble(self) -> None:
        raise ArithmeticError("the first line\nand more")


def broken() -> Odd:
    raise BadInput("has no compiler")


def dying() -> Odd:
    os._exit(1)
