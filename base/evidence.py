"""What a number rests on. Every number shown to a user carries one of these four words."""

from __future__ import annotations

from typing import Literal

Evidence = Literal["measured-here", "measured-published", "simulated", "bound"]

MARKS: dict[Evidence, str] = {
    "measured-here": "●",
    "measured-published": "○",
    "simulated": "△",
    "bound": "▽",
}
"""The mark that stands beside a number where the word has no room."""

MEANING: dict[Evidence, str] = {
    "measured-here": "timed on this machine by this program",
    "measured-published": "timed by others and published; the source is named beside it",
    "simulated": "computed by a model of the machine",
    "bound": "no machine with these peaks can be faster",
}
