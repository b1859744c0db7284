"""Guided tuning on recorded spaces beside ranking by another GPU alone: the fraction of the optimum
after 25 and 50 different evaluations, mean over 20 seeds.

Run: python bench/tuning_replay.py
"""

from __future__ import annotations

SPACES = ("convolution-a100", "convolution-a4000", "gemm-rtx3090", "gemm-rtx2080ti")
SEEDS = 20
MARKS = (25, 50)
AIMS = (0.88, 0.95)


def main() -> list[dict[str, object]]:
    from moesaic.kernels.search import recorded_space, replay, teachers_of

    found: list[list[float]] = []
    rows: list[dict[str, object]] = []
    for name in SPACES:
        space = recorded_space(name)
        teachers = [one.teacher for one in teachers_of(space)]
        guided = replay(space, ["guided"], SEEDS, max(MARKS), teachers)[0]
        transfer = replay(space, ["transfer"], 1, max(MARKS), teachers)[0]
        found.append([guided.mean_at(mark) for mark in MARKS])
        rows += [
            _row(f"{name}, {mark} evaluations", guided.mean_at(mark), transfer.mean_at(mark))
            for mark in MARKS
        ]
    for mark, aim, values in zip(MARKS, AIMS, zip(*found, strict=True), strict=True):
        mean = sum(values) / len(values)
        rows.append(_row(f"mean of the four, {mark} evaluations", mean, aim, "the aim"))
    return rows


def _row(
    name: str, value: float, peer_value: float, peer: str = "ranking by another GPU"
) -> dict[str, object]:
    return {
        "name": name,
        "value": value,
        "unit": "of the optimum",
        "peer": peer,
        "peer_value": peer_value,
        "ratio": value / peer_value,
    }


if __name__ == "__main__":
    for row in main():
        print(row)
