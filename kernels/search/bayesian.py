"""Bayesian search without other knowledge: optuna's tree of Parzen estimators."""

from __future__ import annotations

import importlib
import math
from typing import Any

import numpy as np

from ...base import BadInput
from .strategy import Question, Search

INSTALL = "`bo` needs optuna: pip install 'moesaic[tune]'"


def bayesian(question: Question) -> Search:
    """Each parameter is a number, the place of its value among the allowed ones. Of the proposal
    the nearest configuration that was not measured yet is asked for; failures are told as such.
    """
    optuna, study = _study(question.seed)
    space = question.space
    choices = {
        name: optuna.distributions.IntDistribution(0, len(values) - 1)
        for name, values in space.parameters.items()
        if len(values) > 1
    }
    table = space.table[:, [name in choices for name in space.parameters]].astype(float)
    width = np.maximum(table.max(axis=0), 1)
    measured = np.zeros(len(space), bool)
    states = optuna.trial.TrialState
    while not measured.all():
        asked = study.ask(choices)
        study.tell(asked, state=states.FAIL)  # what is measured instead is told below
        proposal = np.array([asked.params[name] for name in choices])
        far = (np.abs(table - proposal) / width).sum(axis=1)
        row = int(np.where(measured, np.inf, far).argmin())
        measured[row] = True
        seconds = yield row
        ran = math.isfinite(seconds)
        told = optuna.trial.create_trial(
            params=dict(zip(choices, table[row].astype(int).tolist(), strict=True)),
            distributions=choices,
            value=math.log(seconds) if ran else None,
            state=states.COMPLETE if ran else states.PRUNED,
        )
        study.add_trial(told)


def _study(seed: int) -> tuple[Any, Any]:
    try:
        optuna: Any = importlib.import_module("optuna")
    except ImportError:
        raise BadInput(INSTALL) from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampler = optuna.samplers.TPESampler(seed=seed, multivariate=True)
    return optuna, optuna.create_study(sampler=sampler)
