"""Runs of foreign trainings: state, files, commands, and records."""
