"""Hooks on torch. They need torch and NumPy only, and import each other relatively.

A program under `training-cockpit run` loads them under another name, because its own modules may be called `engine`.
"""
