"""The services of the local Azure: one module for each resource provider, on top of the core."""
