"""Entra and Microsoft Graph. Its objects are no ARM resources, so that there is no `types.py`."""
