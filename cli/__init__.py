"""Words typed, questions asked: a file per command, opened when it is asked for."""
