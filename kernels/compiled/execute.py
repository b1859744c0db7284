"""Run: the PTX of a build executed on the CPU, its outputs, counters and faults."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from ... import _core
from ...base import BadInput
from ..library import Launch
from .build import Build

ARRAY_SHIFT = 40
"""Array i of a launch begins at address (i + 1) << 40: no run past one's end meets another."""
SECTOR_BYTES = 32
MOST_INSTRUCTIONS = 50_000_000
"""Of warps: a launch that executes more is taken to hang."""

Arguments = Mapping[str, NDArray[Any] | np.generic]


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """What a launch must not do, where it first did it, and how often.

    kind: uninitialised, race, out of bounds, misaligned, deadlock, hang, absent lanes, trap. file
    and line: of the source; `called_from` the line that the function stands for there, 0 if none.
    thread: its number in the block.
    """

    kind: str
    words: str
    file: str
    line: int
    called_from: int
    instruction: str
    block: tuple[int, int, int]
    thread: int
    times: int

    def __str__(self) -> str:
        where = place(self.file, self.line, self.called_from)
        return f"{where}: {self.kind}: {self.words} [{self.instruction}]"


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """What the instructions of one source line did, in all warps: executions by warps and threads,
    bytes and 32-byte sectors of global memory, wavefronts of shared memory and those beyond the
    least (bank conflicts). called_from: the line that the function stands for there, 0 if none."""

    file: str
    line: int
    called_from: int
    warps: int
    threads: int
    global_bytes: int
    sectors: int
    wavefronts: int
    conflicts: int

    @property
    def place(self) -> str:
        return place(self.file, self.line, self.called_from)


class Counters(msgspec.Struct, frozen=True, kw_only=True):
    """Counted while executing; evidence: simulated.

    mix: warp instructions by class. multiplies: mma.sync by kind. bytes asked for, 32-byte sectors
    touched by warps, and by array the distinct bytes (whole sectors) that were read and written.
    """

    instructions: int
    thread_instructions: int
    mix: dict[str, int]
    multiplies: dict[str, int]
    global_load_bytes: int
    global_store_bytes: int
    global_load_sectors: int
    global_store_sectors: int
    shared_wavefronts: int
    shared_conflicts: int
    ldmatrix_conflicts: int
    barriers: int
    read_bytes: dict[str, int]
    written_bytes: dict[str, int]
    lines: tuple[Line, ...]


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """Accesses to global memory in the order of execution, columns `[touches]`: neighbouring
    32-byte sectors of an array that one instruction of a warp touched at once.

    array: its place in `arrays`. line: of the source. dropped: touches beyond the most that were to
    be kept.
    """

    arrays: tuple[str, ...]
    block: NDArray[np.int32]
    warp: NDArray[np.int32]
    line: NDArray[np.int32]
    array: NDArray[np.int32]
    first_sector: NDArray[np.int64]
    sectors: NDArray[np.int32]
    writes: NDArray[np.bool_]
    dropped: int


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """outputs: every array argument as the launch left it. faults: none where all went well."""

    outputs: dict[str, NDArray[Any]]
    faults: tuple[Fault, ...]
    counters: Counters
    trace: Trace


def execute(
    build: Build,
    launch: Launch,
    arguments: Arguments,
    *,
    seed: int = 0,
    late_copies: bool = True,
    most_instructions: int = MOST_INSTRUCTIONS,
    most_touches: int = 0,
) -> Run:
    """Executes one launch of the build's PTX on copies of the arguments.

    Warps are units and run from barrier to barrier in an order drawn from `seed`, blocks likewise.
    `late_copies`: cp.async lands when it is waited for, and not at once. `most_touches`: how many
    accesses to global memory the trace keeps. mma.sync rounds as the
    architecture's tensor cores do (Xie et al., arXiv 2511.10909). Raises BadInput for PTX that the
    executor does not know and for arguments that are not those of the kernel.
    """
    program = _program(build.ptx, build.entry)
    arrays, values = _bits(arguments, program.parameters, build.kernel)
    try:
        found = program.run(
            grid=launch.grid,
            threads=(launch.threads, 1, 1),
            shared_bytes=launch.shared_bytes,
            arrays=list(arrays.values()),
            values=values,
            seed=seed,
            late_copies=late_copies,
            most_instructions=most_instructions,
            most_touches=most_touches,
        )
    except ValueError as fault:
        raise BadInput(str(fault), key=build.kernel) from None
    return Run(
        outputs=arrays,
        faults=tuple(_fault(program, one) for one in found["faults"]),
        counters=_counters(program, found, list(arrays)),
        trace=_trace(program, found, tuple(arrays)),
    )


@functools.lru_cache(maxsize=8)
def _program(ptx: str, entry: str) -> _core.PtxProgram:
    try:
        return _core.PtxProgram(ptx, entry)
    except ValueError as fault:
        raise BadInput(str(fault), key=entry) from None


def _bits(
    arguments: Arguments, parameters: list[int], kernel: str
) -> tuple[dict[str, NDArray[Any]], list[int]]:
    """The arrays that the launch may write to, and the 64 bits of each parameter."""
    if len(arguments) != len(parameters):
        raise BadInput(
            f"takes {len(parameters)} arguments", key=kernel, value=f"{len(arguments)} given"
        )
    arrays: dict[str, NDArray[Any]] = {}
    values = []
    for (name, given), size in zip(arguments.items(), parameters, strict=True):
        bytes_given = 8 if isinstance(given, np.ndarray) else given.nbytes
        if bytes_given != size:
            raise BadInput(
                f"argument {name} has {bytes_given} bytes where the kernel takes {size}", key=kernel
            )
        if isinstance(given, np.ndarray):
            arrays[name] = np.array(given, order="C", copy=True)
            values.append(len(arrays) << ARRAY_SHIFT)
        else:
            values.append(int.from_bytes(given.tobytes(), "little"))
    return arrays, values


def place(file: str, line: int, called_from: int) -> str:
    """A line of the source, and the line that its function stands for: 'warp.cuh:12 (from 40)'."""
    if not line:
        return "unknown line"
    return f"{file}:{line}" + (f" (from {called_from})" if called_from else "")


def _fault(program: _core.PtxProgram, found: tuple[Any, ...]) -> Fault:
    kind, at, words, block, thread, times = found
    file, line, _, called_from = (int(part) for part in program.places[at])
    return Fault(
        kind=kind,
        words=words,
        file=_file(program, file),
        line=line,
        called_from=called_from,
        instruction=program.text[at],
        block=block,
        thread=thread,
        times=times,
    )


def _file(program: _core.PtxProgram, number: int) -> str:
    known = program.files[number] if number < len(program.files) else ""
    return known.rpartition("/")[2]


def _counters(program: _core.PtxProgram, found: dict[str, Any], names: list[str]) -> Counters:
    counts: NDArray[np.uint64] = found["counts"]
    kinds = np.array(program.kinds)
    sectors = dict(zip(names, found["sectors"], strict=True))

    def total(column: int, *wanted: str) -> int:
        rows = np.isin(kinds, wanted) if wanted else slice(None)
        return int(counts[rows, column].sum())

    loads, stores = ("global load", "cp.async"), ("global store",)
    multiplies: dict[str, int] = {}
    for at in np.flatnonzero(kinds == "mma"):
        kind = program.text[at].partition(" ")[0]
        multiplies[kind] = multiplies.get(kind, 0) + int(counts[at, 0])
    return Counters(
        instructions=total(0),
        thread_instructions=total(1),
        mix={str(kind): total(0, str(kind)) for kind in sorted(set(program.kinds))},
        multiplies=multiplies,
        global_load_bytes=total(2, *loads),
        global_store_bytes=total(2, *stores),
        global_load_sectors=total(3, *loads),
        global_store_sectors=total(3, *stores),
        shared_wavefronts=total(4),
        shared_conflicts=total(5),
        ldmatrix_conflicts=total(5, "ldmatrix"),
        barriers=total(0, "barrier"),
        read_bytes={name: SECTOR_BYTES * read for name, (read, _) in sectors.items()},
        written_bytes={name: SECTOR_BYTES * written for name, (_, written) in sectors.items()},
        lines=_lines(program, counts),
    )


def _trace(program: _core.PtxProgram, found: dict[str, Any], arrays: tuple[str, ...]) -> Trace:
    columns = dict(found["trace"])
    line = program.places[columns.pop("instruction"), 1]
    return Trace(arrays=arrays, line=line, dropped=found["untraced"], **columns)


def _lines(program: _core.PtxProgram, counts: NDArray[np.uint64]) -> tuple[Line, ...]:
    places, row_of = np.unique(program.places[:, [0, 1, 3]], axis=0, return_inverse=True)
    sums = np.zeros((len(places), counts.shape[1]), np.int64)
    np.add.at(sums, row_of.ravel(), counts.astype(np.int64))
    return tuple(
        Line(
            file=_file(program, int(file)),
            line=int(line),
            called_from=int(called_from),
            warps=int(row[0]),
            threads=int(row[1]),
            global_bytes=int(row[2]),
            sectors=int(row[3]),
            wavefronts=int(row[4]),
            conflicts=int(row[5]),
        )
        for (file, line, called_from), row in zip(places, sums, strict=True)
    )
