"""Checks of notebook 01."""
