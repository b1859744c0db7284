"""Which configuration to try next, and what came of the last ones."""

from .names import STRATEGIES, strategy_named
from .packaged import packaged, recorded_space, teachers_of
from .read import read_recording
from .recording import Recording
from .replay import Replay, replay
from .runner import Runner, Trial
from .space import Space
from .strategy import Question, Search, Strategy, Teacher
from .tune import tune
from .tuning import Tuning
from .write import kernel_tuner_cache, t4

__all__ = [
    "STRATEGIES",
    "Question",
    "Recording",
    "Replay",
    "Runner",
    "Search",
    "Space",
    "Strategy",
    "Teacher",
    "Trial",
    "Tuning",
    "kernel_tuner_cache",
    "packaged",
    "read_recording",
    "recorded_space",
    "replay",
    "strategy_named",
    "t4",
    "teachers_of",
    "tune",
]
