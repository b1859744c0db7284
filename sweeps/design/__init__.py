"""Spaces of FPGA designs: grids, exact Pareto fronts, heuristics held against them, choice of lanes."""
