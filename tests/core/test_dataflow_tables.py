"""The dataflow engine's door: tables that make no sense are refused, and huge ones."""

from __future__ import annotations

import numpy as np
import pytest

from moesaic import _core


def table(*rows):
    return np.array(rows, dtype=np.int64)


def tables(**changed):
    """One process that writes ten tokens, one that reads them."""
    asked = {
        "fifos": 1,
        "needs": table((0, 1, 1, 1), (0, 0, 1, 1)),
        "kinds": table((0, 1, 1), (1, 2, 1)),
        "ops": table((0, 0, 10), (0, 1, 10)),
        "processes": table((0, 1, 0), (1, 2, 0)),
        "waits": [np.zeros(0, np.int64)] * 2,
        "memories": [],
    }
    return asked | changed


def run(depth=2, most_cycles=1000, **changed):
    return _core.Dataflow(**tables(**changed)).run(
        table(depth), most_cycles=most_cycles, traced=True
    )


def test_the_last_token_is_read_a_cycle_after_it_lands():
    assert run()["cycles"] == 11
    assert run()["path"] == []
    assert run(depth=1)["cycles"] == 20
    assert run(depth=1)["path"] == [0]


def test_a_run_stops_as_soon_as_it_is_known_to_be_late():
    assert run(depth=1, most_cycles=20)["late"] is False
    assert run(depth=1, most_cycles=19)["late"] is True


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"needs": table((1, 1, 1, 1), (0, 0, 1, 1))}, "no such FIFO"),
        ({"needs": table((0, 1, 0, 1), (0, 0, 1, 1))}, "of some tokens"),
        ({"kinds": table((0, 3, 1), (1, 2, 1))}, "no such need"),
        ({"kinds": table((0, 1, 0), (1, 2, 1))}, "an interval is at least 1"),
        ({"ops": table((0, 2, 10), (0, 1, 10))}, "no such step"),
        ({"ops": table((4, 0, 10), (0, 1, 10))}, "no such op"),
        ({"ops": table((0, 0, 0), (0, 1, 10))}, "no times"),
        ({"ops": table((1, 0, 2), (0, 1, 10))}, "does not close"),
        ({"ops": table((2, 0, 2), (0, 1, 10))}, "does not close"),
        ({"processes": table((0, 3, 0), (1, 2, 0))}, "no such op"),
        ({"processes": table((0, 1, -1), (1, 2, 0))}, "a latency"),
        ({"waits": [np.zeros(0, np.int64)]}, "one list of waits"),
        ({"waits": [np.array([-1]), np.zeros(0, np.int64)]}, "a wait"),
        ({"depth": 0}, "at least 1"),
        ({"depth": -2}, "at least 1"),
        ({"depth": 2**40}, "1 GiB"),
        ({"needs": table((0, 1, 3, 1), (0, 0, 1, 1))}, "more than a FIFO can hold"),
        ({"memories": [(table(1, 1, 1), table((0, 0, 2, 0)), [table((1, 1))])]}, "no such FIFO"),
        ({"memories": [(table(0, 1, 1), table((0, 0, -1, 0)), [table((1, 1))])]}, "cycles a beat"),
        ({"memories": [(table(1, 1, 1), table((0, 0, -1, 0)), [table((0, 1))])]}, "has beats"),
    ],
)
def test_a_table_that_makes_no_sense_is_refused(changed, what):
    with pytest.raises(ValueError, match=what):
        run(**changed)
