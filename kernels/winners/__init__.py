"""Which tile to try first: a ranking that learned from published winners of tuning runs."""
