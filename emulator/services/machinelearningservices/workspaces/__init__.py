"""Workspaces, their connections and datastores."""
