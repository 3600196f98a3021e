"""Checks of notebook 11: a gated layer, the class inside the gate, sampling, nats per code."""
