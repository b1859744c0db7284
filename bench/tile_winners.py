"""Published winners among the first tiles of the ranking, beside the frequency by batch; each
class of devices left out; and rankings per second.

Run: python bench/tile_winners.py
"""

from __future__ import annotations

import time

RANKINGS = 50
AIM_PER_S = 20.0


def main() -> list[dict[str, object]]:
    from moesaic.kernels.winners.ranker import shipped
    from moesaic.kernels.winners.score import BATCH, RANKER

    scores = {(one.group, one.method): one for one in shipped().scores if one.part == "all"}
    rows: list[dict[str, object]] = []
    for group in dict.fromkeys(group for group, _ in scores):
        for name in ("top5", "top10"):
            value = getattr(scores[group, RANKER], name)
            peer = getattr(scores[group, BATCH], name)
            rows.append(
                {
                    "name": f"winners on {group} in the {name.replace('top', 'top ')}",
                    "value": 100 * value,
                    "unit": "%",
                    "peer": "frequency by batch",
                    "peer_value": 100 * peer,
                    "ratio": value / peer,
                }
            )
    return [*rows, speed()]


def speed() -> dict[str, object]:
    from moesaic.hardware.load import device
    from moesaic.kernels.winners.ranking import ranked_tiles
    from moesaic.workload.load import model

    gpu, one = device("a100-80gb-sxm"), model("qwen3-30b-a3b")
    ranked_tiles(one, gpu, 1)
    start = time.perf_counter()
    for tokens in range(2, 2 + RANKINGS):
        ranked_tiles(one, gpu, tokens)
    value = RANKINGS / (time.perf_counter() - start)
    return {
        "name": "rankings of 80 tiles",
        "value": value,
        "unit": "rankings/s",
        "peer": "the aim",
        "peer_value": AIM_PER_S,
        "ratio": value / AIM_PER_S,
    }


if __name__ == "__main__":
    for row in main():
        print(row)
