"""Checks of notebook 06."""
