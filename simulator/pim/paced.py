"""Rows read at the pace of arithmetic: what a unit gets whose reads wait for its multipliers."""

from __future__ import annotations

import math

import msgspec

from ...base import BadInput, number_format
from ...hardware import Pim
from .rates import gang_share, gangs_of, memory_of, one_channel, pim_rate, run_alone

MOST_TOKENS = 256


class Paced(msgspec.Struct, frozen=True, kw_only=True):
    """What a unit gets of its internal bandwidth while each weight meets `tokens` inputs.

    read_cycles: from one gang read to the next where it waits for the arithmetic of the last;
    waiting: the share then, simulated. ahead: the share where buffers hold a row, so that rows are
    read ahead of arithmetic and the slower of the two decides.
    """

    tokens: int
    read_cycles: int
    waiting: float
    ahead: float


def paced(device: Pim, tokens: int, spaces: int = 2, dtype: str = "bf16") -> Paced:
    """A unit that multiplies each weight with `tokens` inputs, rows of `spaces` gangs in turn.

    derived: two operations an input and weight take as many reads' time as tokens times two over
    the bytes of a weight exceed the operations a byte that the unit is built for; whole cycles.
    Raises BadInput for a device that names no gang.
    """
    if not 1 <= tokens <= MOST_TOKENS:
        raise BadInput(f"must lie between 1 and {MOST_TOKENS}", key="tokens", value=tokens)
    config, gang = memory_of(device)
    reads = gang.read_cycles_of(config)
    buses = config.copies * config.channels * config.rank_count
    gang_bytes = gang.bank_count * config.organisation.access_bytes
    peak = buses * gang_bytes * config.timing.clock_hz / reads
    needed = operations_per_byte(tokens, dtype) / (device.peak(dtype) / peak)
    slower = max(reads, math.ceil(round(reads * needed, 6)))
    paced_gang = msgspec.structs.replace(gang, read_cycles=str(slower))
    count = min(spaces, gangs_of(config, gang))
    share = gang_share(run_alone(one_channel(config), paced_gang, count), paced_gang)
    return Paced(
        tokens=tokens,
        read_cycles=slower,
        waiting=share * reads / slower,
        ahead=min(pim_rate(device, spaces).share_of_peak, 1 / needed),
    )


def operations_per_byte(tokens: int, dtype: str) -> float:
    """Of a product of `tokens` rows with weights of this format: a multiply and an add each."""
    return 2 * tokens / number_format(dtype).bytes_per_element
