"""Checks of notebook 04."""
