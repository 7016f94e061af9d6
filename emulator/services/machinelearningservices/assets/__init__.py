"""Environments, models and codes, and their versions."""
