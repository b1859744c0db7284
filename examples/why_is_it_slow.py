"""Why does a step take as long as it does, and what would help?"""

from moesaic.hardware.load import system
from moesaic.simulator import estimate
from moesaic.workload import Parallel, make_step
from moesaic.workload.load import model

mixtral, machine = model("mixtral-8x7b"), system("dgx-h100")
step = make_step(mixtral, batch=64, context=2048)
answer = estimate(mixtral, step, machine, parallel=Parallel(tp=2))
print(f"{answer.seconds * 1e3:.2f} ms, limited by {answer.limiter} ({answer.evidence})")
for reason, seconds in list(answer.why.items())[:5]:
    print(f"{seconds / answer.seconds:6.1%}  {reason}")
