"""Repetition of a non-finite step of a foreign training."""
