"""Files of recorded routing -> RoutingTrace or RoutingCounts."""

from .asked import Routing
from .count_files import read_fiddler_counts, read_olmoe_counts
from .detect import FORMATS, load, load_parts
from .huggingface import read_router_logits
from .load_tables import read_counts, write_counts
from .token_files import read_npz_trace, read_parquet_trace, write_parquet_trace

__all__ = [
    "FORMATS",
    "Routing",
    "load",
    "load_parts",
    "read_counts",
    "read_fiddler_counts",
    "read_npz_trace",
    "read_olmoe_counts",
    "read_parquet_trace",
    "read_router_logits",
    "write_counts",
    "write_parquet_trace",
]
