"""Trainings that are not the engine's own: an existing loop, a trainer's callback, or an untouched program."""
