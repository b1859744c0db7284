"""Any runner in a process of its own: what crashes or hangs there is a trial like any other."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from typing import Literal, NamedTuple, TypeVar

from ...base import BadInput
from ...base.evidence import Evidence
from ..search.runner import Runner, Trial
from ..search.space import Space

Result = TypeVar("Result")

START_S = 300.0
"""For a runner to be made: inputs are drawn, and the exact result is computed."""


class Face(NamedTuple):
    """What a runner says of itself before it runs anything."""

    space: Space
    about: dict[str, str]
    evidence: Evidence


class Isolated:
    """Is itself a runner, and a context that ends its process.

    factory: makes the runner over there. It is sent by pickle: a function of a module, or a partial
    of one. limit_s: for one configuration, compiling included; then it is stopped. After a crash, a
    stop or an exception of one configuration the next one meets a fresh process.
    """

    def __init__(
        self, factory: Callable[[], Runner], limit_s: float, start_s: float = START_S
    ) -> None:
        if not limit_s > 0:
            raise BadInput("must be above 0 seconds", key="limit_s", value=limit_s)
        self.limit_s, self.start_s = limit_s, start_s
        self._factory = factory
        self._child: _Child | None = None
        self._face = self._running().face

    @property
    def space(self) -> Space:
        return self._face.space

    @property
    def about(self) -> dict[str, str]:
        return self._face.about

    @property
    def evidence(self) -> Evidence:
        return self._face.evidence

    def __call__(self, row: int) -> Trial:
        """Raises BadInput where the runner does."""
        child = self._running()
        try:
            answer = child.ask(row, self.limit_s)
        except BaseException:  # such as Ctrl-C: its answer would be taken for the next one's
            self.close()
            raise
        if isinstance(answer, Trial):
            return answer
        self.close()
        if isinstance(answer, BadInput):
            raise answer
        return Trial(config=self.space.config(row), status=answer.status, reason=answer.reason)

    def close(self) -> None:
        """Ends the process; a later call starts another."""
        if self._child is not None:
            self._child.end()
            self._child = None

    def __enter__(self) -> Isolated:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _running(self) -> _Child:
        if self._child is None:
            self._child = _Child(self._factory, self.start_s)
        return self._child


class _Failed(NamedTuple):
    status: Literal["runtime", "timeout"]
    reason: str


class _Child:
    """The process and the pipe to it; both ends of the pipe are ours."""

    def __init__(self, factory: Callable[[], Runner], start_s: float) -> None:
        # spawn: a fork would inherit the locks of threads that it does not have.
        spawn = multiprocessing.get_context("spawn")
        self._pipe, far = spawn.Pipe()
        self._process = spawn.Process(target=_serve, args=(factory, far), daemon=True)
        try:
            self._process.start()
            far.close()  # so that its end is the end of the pipe
            answer = self._answer(start_s)
        except BaseException:
            self.end()
            raise
        if not isinstance(answer, Face):
            self.end()
            if isinstance(answer, BadInput):
                raise answer
            raise BadInput(f"the runner cannot be started: {answer.reason}")
        self.face = answer

    def ask(self, row: int, limit_s: float) -> Trial | BadInput | _Failed:
        with contextlib.suppress(OSError):  # it has ended; the answer will say how
            self._pipe.send(row)
        answer = self._answer(limit_s)
        assert not isinstance(answer, Face)
        return answer

    def end(self) -> None:
        """Ends it together with the processes that it started, such as compilers."""
        if self._process.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.kill()
            self._process.join()
        self._pipe.close()

    def _answer(self, limit_s: float) -> Face | Trial | BadInput | _Failed:
        try:
            if not self._pipe.poll(limit_s):
                return _Failed("timeout", f"was stopped after {limit_s:g} s")
            answer: Face | Trial | BadInput | _Failed = self._pipe.recv()
            return answer
        except (EOFError, OSError):
            self._process.join(5)
            return _Failed("runtime", _how(self._process.exitcode))


def _how(exitcode: int | None) -> str:
    """How a process ended that was not asked to."""
    if exitcode is None:
        return "closed its pipe without an answer"
    if exitcode >= 0:
        return f"ended its process with exit code {exitcode}"
    try:
        return f"crashed with {signal.Signals(-exitcode).name}"
    except ValueError:
        return f"crashed with signal {-exitcode}"


def _serve(factory: Callable[[], Runner], pipe: Connection) -> None:
    """The other side: answers row by row until nobody asks."""
    os.setsid()  # a group of its own: Ctrl-C is for the one who asks, who then ends the whole group
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with contextlib.suppress(EOFError, BrokenPipeError):
        runner = _tried(factory)
        if isinstance(runner, BadInput | _Failed):
            pipe.send(runner)
            return
        pipe.send(Face(runner.space, runner.about, runner.evidence))
        while True:
            pipe.send(_tried(partial(runner, pipe.recv())))


def _tried(call: Callable[[], Result]) -> Result | BadInput | _Failed:
    try:
        return call()
    except BadInput as fault:
        return fault
    except Exception as fault:  # whatever it is belongs to this configuration
        words = str(fault).splitlines()[0] if str(fault) else "no words"
        return _Failed("runtime", f"raised {type(fault).__name__}: {words}")


def _end_with_parent() -> None:
    """Where the one who asked is killed, nobody else would end a configuration that hangs."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.killpg(0, signal.SIGKILL)  # with all that it started
