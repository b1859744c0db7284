"""moesaic simulate: a step in time on every device and link."""

from __future__ import annotations

import typer

from ..base.units import show as human
from . import question as q
from . import show

app = typer.Typer()


@app.command()
def simulate(
    model: q.Model,
    on: q.On,
    batch: int = 0,
    context: q.Context = 0,
    prefill: q.Prefill = 0,
    tp: q.Tp = 1,
    dp: q.Dp = None,
    ep: q.Ep = 1,
    pp: q.Pp = 1,
    weights: q.Weights = None,
    ignore_capacity: q.IgnoreCapacity = False,
    json: show.Json = False,
    out: show.Out = None,
) -> None:
    """Schedules the operators of a step on devices and links; --out writes a Perfetto trace.

    moesaic simulate deepseek-v3 --on two-node-h100 --dp 16 --ep 16 --batch 256 --out step.json
    """
    from ..roofline import fit, operators
    from ..simulator import LANES
    from ..simulator import simulate as run
    from ..workload import make_step

    found, system = q.model_of(model, weights), q.system_of(on)
    split = q.split_of(tp, dp, ep, pp)
    step = make_step(found, batch=batch, context=context, prefill=prefill)
    table = operators(found, step, system, split)
    if not ignore_capacity:
        fit(found, table, system, split).demand(system)
    timeline = run(table, system)
    if out is not None:
        timeline.save(out)
        show.say(f"wrote {out}; open it in ui.perfetto.dev")
    busy = timeline.busy()
    if json:
        show.json(
            {
                "model": found.name,
                "on": on,
                "seconds": timeline.seconds,
                "tokens_per_s": timeline.tokens_per_s,
                "busy": {lane: busy[:, i] for i, lane in enumerate(LANES)},
                "evidence": timeline.evidence,
            }
        )
        return
    rows = [
        [device, *(f"{busy[device, i]:.1%}" for i in range(len(LANES)))]
        for device in range(timeline.devices)
    ]
    show.table(
        f"{found.name} on {on}: {human(timeline.seconds, 's')} a step, "
        f"{human(timeline.tokens_per_s, 'token/s')} ({timeline.evidence})",
        ["device", *(f"{lane} busy" for lane in LANES)],
        rows,
    )
