"""The plugin process: the gRPC host, the client for Azure, and the own resources, one module each.

Owns what runs when the engine calls. Refuses to own what a program sees (`sdk.py`): the two meet over gRPC alone.
"""
