"""The memory of a machine, cycle by cycle: requests in; time, bandwidth and energy out."""

from .address_map import AddressMap, Coordinates, Sizes
from .controller import POLICIES, Controller, policy
from .efficiency import Demand, Sampled, memory_efficiency, sampled, system_efficiency
from .efficiency_table import Cells, Row, best_map, efficiency_table, write_table
from .layouts import LAYOUTS, Expert, Reading, expert_runs, scattered, stacked
from .maps import maps_of
from .program import Program
from .requests import Requests, read_requests, write_requests
from .run import DramRun, StreamRun, simulate, simulate_stream
from .streams import Runs, Tiles, activations, paged_kv

__all__ = [
    "LAYOUTS",
    "POLICIES",
    "AddressMap",
    "Cells",
    "Controller",
    "Coordinates",
    "Demand",
    "DramRun",
    "Expert",
    "Program",
    "Reading",
    "Requests",
    "Row",
    "Runs",
    "Sampled",
    "Sizes",
    "StreamRun",
    "Tiles",
    "activations",
    "best_map",
    "efficiency_table",
    "expert_runs",
    "maps_of",
    "memory_efficiency",
    "paged_kv",
    "policy",
    "read_requests",
    "sampled",
    "scattered",
    "simulate",
    "simulate_stream",
    "stacked",
    "system_efficiency",
    "write_requests",
    "write_table",
]
