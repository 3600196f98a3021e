"""Checks of notebook 03."""
