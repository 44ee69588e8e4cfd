"""Measurements: recording beside the bare tools, in one run, as ratios."""
