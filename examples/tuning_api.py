"""Search a space of your own, taught by a recorded one: 25 measurements instead of 4,362.

First a recorded space replayed, as if its GPU stood here; then a runner of one's own, which times
a product in blocks on this machine.
"""

import numpy as np

from moesaic.kernels.runners.recorded import CacheRunner
from moesaic.kernels.search import Space, Trial, recorded_space, teachers_of, tune
from moesaic.measured.clock import time_s

space = recorded_space("convolution-a100")
taught = [other.teacher for other in teachers_of(space)]
found = tune(CacheRunner(space), "guided", budget=25, teachers=taught)
print(f"guided: {space.best_s / found.best.seconds:.2f} of the optimum by {found.best.config}")


class Blocked:
    """configuration -> Trial is all that a runner is."""

    evidence = "measured-here"

    def __init__(self) -> None:
        sides = (32, 128, 512)
        configs = [{"ROWS": rows, "COLUMNS": columns} for rows in sides for columns in sides]
        self.space = Space.of("blocked product", configs)
        self.about = {"kernel": "blocked product", "where": "this machine"}
        rng = np.random.default_rng(0)
        self.left, self.right = rng.standard_normal((2, 512, 512), np.float32)

    def __call__(self, row: int) -> Trial:
        config = self.space.config(row)
        timing = time_s(lambda: self.product(**config), repeats=5)
        return Trial(config=config, status="ok", seconds=timing.median_s, spread=timing.spread)

    def product(self, ROWS: int, COLUMNS: int) -> None:
        for i in range(0, 512, ROWS):
            for j in range(0, 512, COLUMNS):
                self.left[i : i + ROWS] @ self.right[:, j : j + COLUMNS]


best = tune(Blocked(), "guided", budget=6).best
print(f"blocks of {best.config['ROWS']} x {best.config['COLUMNS']}: {1e6 * best.seconds:.0f} us")
