"""Moesaic: simulate, place and tune Mixture-of-Experts inference on GPU, PIM and FPGA."""

__version__ = "0.1.0"
