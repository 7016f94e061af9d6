"""Managed networks of workspaces."""
