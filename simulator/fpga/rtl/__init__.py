"""Verilog of the blocks, verilated and driven with back-pressure: the cycle of every token."""
