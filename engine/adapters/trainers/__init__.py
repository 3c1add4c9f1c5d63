"""Trainings that a trainer drives: the common part of the callbacks."""
