"""Assignments for classes: notebooks turned into what nbgrader releases, collects and grades."""
