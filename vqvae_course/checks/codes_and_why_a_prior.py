"""Checks of notebook 09: encoding a data set, decoding codes, priors by counting, a script that only seems to sample."""
