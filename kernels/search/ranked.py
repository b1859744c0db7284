"""Rankings that no measurement changes: by a teacher alone, or by a model's prediction alone."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ...base import BadInput
from .recording import seconds_in
from .strategy import Question, Search


def transfer(question: Question) -> Search:
    """In the order of the first teacher's seconds; what it does not know follows in the order of
    the next one. What failed there comes last. The seed is of no use."""
    if not question.teachers:
        raise BadInput("`transfer` ranks by teachers: give at least one")
    keys = [
        np.nan_to_num(seconds_in(question.space, teacher), nan=np.inf)
        for teacher in question.teachers
    ]
    return in_order(np.lexsort(keys[::-1]).tolist())


def model(question: Question) -> Search:
    """In the order of the predicted seconds. The seed is of no use."""
    if question.predicted is None:
        raise BadInput("`model` ranks by a prediction, and there is none for this kernel")
    return in_order(np.argsort(question.predicted, kind="stable").tolist())


def in_order(rows: Iterable[int]) -> Search:
    """Asks for the rows as they come, whatever the answers."""
    for row in rows:
        _ = yield row
