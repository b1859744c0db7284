"""Would a PIM twice as wide serve Mixtral better? A machine that does not exist, asked in Python.

The gang of banks that a unit reads decides its bandwidth; the memory core says what is left of it.
"""

import msgspec

from moesaic.hardware import Pim
from moesaic.hardware.load import system
from moesaic.simulator import estimate
from moesaic.simulator.pim import pim_rate
from moesaic.simulator.serving import metrics, serve
from moesaic.simulator.serving.cycle_costs import CycleCosts
from moesaic.simulator.step.rates import memory_rates
from moesaic.workload import Parallel, make_step
from moesaic.workload.load import model
from moesaic.workload.requests import drawn

mixtral, split = model("mixtral-8x7b"), Parallel(tp=4)
duplex = system("duplex-4")
one = duplex.devices[0]
assert isinstance(one, Pim)
assert one.gang is not None
gang = msgspec.structs.replace(one.gang, banks=4)  # 16 banks instead of 8, read at once
wide = msgspec.structs.replace(
    one, gang=gang, internal_bandwidth_bytes_per_s=2 * one.internal_bandwidth_bytes_per_s
)
machines = {
    "Duplex": duplex,
    "twice as wide": msgspec.structs.replace(duplex, devices=(wide,) * 4),
}

requests = drawn(
    96, prompt_mean=512, output_mean=512, spread=0.1, rate_per_s=1.0, seed=0, shape="gaussian"
)
step = make_step(mixtral, batch=32, context=768)
for name, machine in machines.items():
    unit = machine.devices[0]
    assert isinstance(unit, Pim)
    found = estimate(mixtral, step, machine, parallel=split, detail="cycle")
    costs = CycleCosts(mixtral, machine, split, memory_rates(machine, mixtral))
    served = metrics(serve(requests, costs, most_requests=32, closed=True, stationary=True))
    print(
        f"{name}: {pim_rate(unit).share_of_peak:.1%} of the units' bandwidth, "
        f"{found.seconds * 1e3:.2f} ms a step ({found.limiter}), "
        f"{served.tokens_per_s / 1e3:.1f} ktoken/s, {found.evidence}"
    )
