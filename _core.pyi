"""The compiled inner loops."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

def balance_swaps(
    loads: NDArray[np.float64], homes: NDArray[np.int32], ranks: int, most_swaps: int
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Swaps experts between ranks until the heaviest rank of each layer cannot be lightened.

    loads: float64 [layers, experts]; homes: int32 [layers, experts], the rank of each expert.
    Returns new homes and the swaps made in each layer, int64 [layers].
    """

def place_replicas(
    loads: NDArray[np.float64], room: NDArray[np.int64], most_copies: int, most_swaps: int
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Copies of the heaviest experts, none twice on a rank, balanced by swaps.

    loads: float64 [layers, experts]; room: int64 [ranks], slots of each rank; most_copies:
    of one expert. Returns the expert of each slot, rank by rank, int32 [layers, slots], and the
    swaps made in each layer, int64 [layers].
    """

def ease_ranks(
    loads: NDArray[np.float64],
    held: NDArray[np.int32],
    rank_of: NDArray[np.int32],
    ranks: int,
    targets: NDArray[np.float64],
    most_steps: NDArray[np.int64],
    priced: bool,
) -> tuple[NDArray[np.int32], NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Takes load off the ranks above a target by swaps and by other copies, few moves first.

    loads: float64 [layers, experts]; held: int32 [layers, slots], the expert of each slot; rank_of:
    int32 [slots]; targets: float64 [layers]; most_steps: int64 [layers]; priced: weigh a step's
    gain by the experts that it moves. Returns the new held, and after each step the heaviest rank's
    load and the experts moved so far [layers, steps + 1], and the steps made [layers].
    """

class HopAnneal:
    """Swaps of two items of a layer, annealed: what is kept on a rank between layers (flow), what
    meets in a layer (pairs) and what likes its rank (bias), against a hard limit on every rank.

    flow: float64 [layers - 1, items, items]; loads: [layers, items]; limit: [layers]; held: int32
    [layers, items], the expert of each item (no rank holds one twice); homes: int32 [layers,
    items]; pairs: [layers, items, items], symmetric; bias: [layers, ranks, items]. The four numbers
    after them are the gain of a unit of flow or of pairs kept on a rank, and on a node beyond that.
    """

    def __init__(
        self,
        *,
        flow: NDArray[np.float64],
        loads: NDArray[np.float64],
        limit: NDArray[np.float64],
        held: NDArray[np.int32],
        homes: NDArray[np.int32],
        ranks: int,
        node_ranks: int,
        pairs: NDArray[np.float64] | None = None,
        bias: NDArray[np.float64] | None = None,
        flow_rank: float = 1.0,
        flow_node: float = 0.0,
        pair_rank: float = 0.0,
        pair_node: float = 0.0,
        seed: int = 0,
    ) -> None: ...
    def sweep(self, temperature: float, tries: int) -> None:
        """One pass over the layers: `tries` random swaps an item at a temperature in gain."""

    def descend(self, least: float, most: int) -> int:
        """Best swaps until none gains more than `least`; returns how many were made."""

    def mean_loss(self, samples: int) -> float:
        """The mean loss of random allowed swaps that lose."""

    def accepted(self) -> int:
        """Swaps made so far."""

    def homes(self) -> NDArray[np.int32]:
        """The rank of each item now, int32 [layers, items]."""

class Dataflow:
    """A dataflow graph but for the depths of its FIFOs: what `simulator.fpga.flat` makes.

    needs: [needs, 4] FIFO, room?, tokens, of which moved; kinds of steps: [kinds, 3] first need,
    end, interval; ops: [ops, 3] what (step, loop, again, mark), index, times; processes:
    [processes, 3] first op, end, latency; waits: of each process, by cycle of its period, cycles
    until it is open; memories: cycles a beat as a fraction and latency, [ports, 4] request, data,
    done or -1, writes?, and of each port [bursts, 2] beats, times. All int64.
    """

    def __init__(
        self,
        *,
        fifos: int,
        needs: NDArray[np.int64],
        kinds: NDArray[np.int64],
        ops: NDArray[np.int64],
        processes: NDArray[np.int64],
        waits: Sequence[NDArray[np.int64]],
        memories: Sequence[
            tuple[NDArray[np.int64], NDArray[np.int64], Sequence[NDArray[np.int64]]]
        ],
    ) -> None: ...
    def run(self, depths: NDArray[np.int64], *, most_cycles: int, traced: bool) -> dict[str, Any]:
        """Runs it with these depths, int64 [fifos], -1 for none: cycles, late (stopped after
        most_cycles), path (FIFOs on the critical path, if traced), and rows of processes, stalls
        of needs, FIFOs, memories, stuck ports and marks."""

class DramSpec:
    """One channel of a memory: what `hardware.dram_tables` makes.

    gang: stack ids, bank groups of each and banks of each that one gang spans.
    """

    def __init__(
        self,
        *,
        sizes: Sequence[int],
        ticks_per_cycle: int,
        shared_bus: bool,
        rising: Sequence[bool],
        rules: NDArray[np.int32],
        read_ticks: int,
        write_ticks: int,
        refresh_ticks: int,
        refresh_bank_ticks: int,
        refresh_together: int,
        gang: Sequence[int] | None = None,
        gang_columns: int = 0,
        gang_broadcast: bool = True,
        gang_own_bus: bool = True,
        gang_shares_group: bool = False,
    ) -> None: ...

class DramPolicy:
    """What the controller of a channel does; `simulator.memory.run.engine_policy` makes one.

    scheduler: 0 first-ready, 1 fr-fcfs, 2 fcfs; row_policy: 0 open, 1 closed, 2 timeout; refresh: 0
    all banks, 1 bank by bank, 2 off; capacity: of a read queue, of a write queue.
    """

    def __init__(
        self,
        *,
        scheduler: int,
        row_policy: int,
        refresh: int,
        queue_per_rank: bool,
        capacity: Sequence[int],
        drain_from: int,
        drain_to: int,
        most_hits: int,
        timeout_ticks: int,
    ) -> None: ...

def dram_run(
    spec: DramSpec,
    policy: DramPolicy,
    arrival: NDArray[np.int64],
    write: NDArray[np.bool_],
    channel: NDArray[np.int32],
    bank: NDArray[np.int32],
    row: NDArray[np.int32],
    column: NDArray[np.int32],
    *,
    channels: int,
    in_order: bool,
    threads: int,
    record: bool,
    ticking: bool,
    program: NDArray[np.int32] | None = None,
) -> dict[str, Any]:
    """Serves the requests `[n]` (ticks, in order of arrival) and says what was done.

    program: int32 [rows, 4], channel, rank, gang and row of what the units read meanwhile, in order
    for each rank. Returns accepted, issue (-1: served by a queued write) and finish, int64 [n]
    ticks; counts int64 [channels, 12]; forwarded, coalesced, last_data, largest_refresh_gap; with
    `record` also tick, channel, command, bank and row of every command, channel by channel.
    """

def dram_run_stream(
    spec: DramSpec,
    policy: DramPolicy,
    places: NDArray[np.int32],
    access_shift: int,
    base: NDArray[np.uint64],
    size: NDArray[np.int64],
    write: NDArray[np.bool_],
    *,
    channels: int,
    threads: int,
    remember: bool,
) -> dict[str, Any]:
    """Serves pieces of memory `[n]` in order, as fast as the queues take their accesses.

    places: int32 [bits, 4], channel, bank, row and column of each address bit; accesses are of
    2^access_shift bytes. Returns counts int64 [channels, 12], last_data, largest_refresh_gap,
    forwarded, coalesced, segments and remembered.
    """

def mma_dot(
    a_format: str,
    b_format: str,
    half_sums: bool,
    sm: int,
    a: NDArray[np.uint32],
    b: NDArray[np.uint32],
    c: NDArray[np.uint32],
) -> NDArray[np.uint32]:
    """Output elements of mma.sync by the plain rule, in whole numbers.

    a, b: [cases, depth]; c: [cases]; the bits of a number in each word. Formats are bf16, f16,
    tf32, e4m3, e5m2; half_sums: c is f16, else f32. Raises ValueError where no rule is known.
    """

def mma_tiles(
    a_format: str,
    b_format: str,
    half_sums: bool,
    sm: int,
    a: NDArray[np.uint32],
    b: NDArray[np.uint32],
    c: NDArray[np.uint32],
) -> NDArray[np.uint32]:
    """Whole mma.sync as the executor runs them: a [tiles, 16, depth], b [tiles, 8, depth],
    c [tiles, 16, 8]."""

def convert_words(
    from_format: str, to_format: str, rounding: str, finite: bool, words: NDArray[np.uint32]
) -> NDArray[np.uint32]:
    """Words [n] of one format as another's. rounding: rn, rna, rz; finite: cvt's satfinite."""

class PtxProgram:
    """An entry function of PTX text, decoded once for any number of launches.

    Raises ValueError, with the line of the text, for what the executor does not know.
    """

    target: int
    files: list[str]
    text: list[str]
    shared_bytes: int
    local_bytes: int
    places: NDArray[np.int32]
    """[instructions, 4]: file, line, and file and line where that function was inlined."""
    parameters: list[int]
    """Bytes of each."""
    kinds: list[str]
    """The class of each instruction."""

    def __init__(self, text: str, entry: str) -> None: ...
    def run(
        self,
        *,
        grid: tuple[int, int, int],
        threads: tuple[int, int, int],
        shared_bytes: int,
        arrays: list[NDArray[Any]],
        values: list[int],
        seed: int,
        late_copies: bool,
        most_instructions: int,
        most_touches: int = 0,
    ) -> dict[str, Any]:
        """Executes a launch; writes into the arrays. values: 64 bits of each parameter, array i
        being (i + 1) << 40.

        Returns counts [instructions, 6] (warps, threads, bytes and 32-byte sectors of global
        memory, wavefronts and conflicts of shared memory), faults (kind, instruction, words, block,
        thread, times), for each array the distinct sectors read and written, and the trace, columns
        [touches]: neighbouring sectors that one instruction of a warp touched, in the order of
        execution; untraced says how many more there were than most_touches.
        """
