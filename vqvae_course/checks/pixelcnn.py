"""Checks of notebook 10: causal masks, a detector of leaks, the blind spot, masks as shifts."""
