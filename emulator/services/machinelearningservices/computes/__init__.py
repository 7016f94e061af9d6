"""Attached computes."""
