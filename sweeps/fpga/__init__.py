"""Spaces of FPGA designs: grids, exact fronts, heuristics held against them, choice of lanes."""
