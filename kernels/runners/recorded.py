"""A runner of the past: it answers from a recorded space, in no time and always the same."""

from __future__ import annotations

from ...base.evidence import Evidence
from ..search.recording import Recording
from ..search.runner import Trial
from ..search.space import Space


class CacheRunner:
    """What failed when the space was recorded is a trial that failed, as it was then."""

    def __init__(self, recording: Recording) -> None:
        self.recording = recording

    @property
    def space(self) -> Space:
        return self.recording.space

    @property
    def about(self) -> dict[str, str]:
        return self.recording.about

    @property
    def evidence(self) -> Evidence:
        return self.recording.evidence

    def __call__(self, row: int) -> Trial:
        return self.recording.trials[row]
