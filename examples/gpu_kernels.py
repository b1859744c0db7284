"""A whole step at the pace of measured kernels, and where it falls below its roofline."""

from moesaic.hardware.load import system
from moesaic.simulator import estimate
from moesaic.workload import Parallel, make_step
from moesaic.workload.load import model

deepseek, machine = model("deepseek-v3"), system("dgx-b200")
split = Parallel(dp=8, ep=8)
step = make_step(deepseek, batch=64, context=4096)
bound = estimate(deepseek, step, machine, parallel=split)
answer = estimate(deepseek, step, machine, parallel=split, detail="tile")
low, high = answer.interval_s or (answer.seconds, answer.seconds)
print(f"at best {bound.seconds * 1e3:.1f} ms ({bound.evidence})")
print(f"by its kernels {answer.seconds * 1e3:.1f} ms ({answer.evidence}), ", end="")
print(f"80% between {low * 1e3:.1f} and {high * 1e3:.1f} ms")
for reason, seconds in list(answer.why.items())[:6]:
    print(f"{seconds / answer.seconds:6.1%}  {reason}")
print("experts priced as", answer.kernels["experts, experts"])
