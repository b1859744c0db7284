"""Plots in one style: each function takes results and gives a Figure; saving is `style.save`."""
