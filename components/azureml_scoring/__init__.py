"""Reusable components that take a custom image to a live Azure ML endpoint.

Owns the four steps (registry, pull identity, image, endpoint) and their order. Refuses to own what a stack chooses
(`infra/`).
"""
