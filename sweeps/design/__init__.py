"""Design spaces: a million points, their exact Pareto front, and what it tells."""
