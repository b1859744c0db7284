"""How much of a memory's bandwidth do experts get, and what decides it?"""

from moesaic.hardware.load import dram_config
from moesaic.simulator.memory import Controller, Runs, maps_of, scattered, simulate

memory = dram_config("hbm3_6400_4Gb_1ch2pc")
expert_bytes, readers = 2**20, 8
bases = scattered(readers, expert_bytes, memory.capacity_bytes, seed=0)
requests = Runs.of(bases, expert_bytes, readers=readers, tile_bytes=2048).requests(32)
print(f"{len(requests)} requests: {readers} experts at once, 2 KiB of each in turn")
for name, text in maps_of(memory).items():
    shares = [
        simulate(memory, Controller(address_map=text, read_queue=entries), requests).share_of_peak
        for entries in (16, 64)
    ]
    print(f"{name:15} {shares[0]:6.1%} with queues of 16, {shares[1]:6.1%} with 64 (simulated)")
