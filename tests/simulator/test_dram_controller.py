"""Controllers: policies by name, files, and what does not go together."""

import pytest

from moesaic.base import BadInput
from moesaic.base.spec import dump
from moesaic.simulator.memory.controller import POLICIES, Controller, policy


@pytest.mark.parametrize("name", POLICIES)
def test_a_policy_goes_to_a_file_and_back(name, tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text(dump(POLICIES[name]))
    assert policy(str(file)) == policy(name) == POLICIES[name]


def test_the_peers_policy_shares_a_queue_and_stops_at_the_first_refusal():
    peer = policy("ramulator")
    assert (peer.queue_scope, peer.front, peer.scheduler) == ("channel", "in-order", "first-ready")


def test_a_near_miss_suggests_the_name():
    with pytest.raises(BadInput, match="did you mean ramulator"):
        policy("ramulater")


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        ({"write_low": 0.8}, "must lie below"),
        ({"row_policy": "timeout"}, "timeout_cycles"),
        ({"timeout_cycles": 100}, "timeout_cycles"),
        ({"row_policy": "timeout", "timeout_cycles": 10**18}, "timeout_cycles"),
        ({"read_queue": 0}, "read_queue"),
        ({"read_queue": 5000}, "read_queue"),
        ({"write_high": 1.5}, "write_high"),
    ],
)
def test_what_does_not_go_together_is_refused(words, fault):
    with pytest.raises(ValueError, match=fault):
        Controller(**words)


def test_a_file_with_an_unknown_scheduler_names_itself(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text('scheduler = "fifo"\n')
    with pytest.raises(BadInput, match=r"mine\.toml: scheduler"):
        policy(file)
