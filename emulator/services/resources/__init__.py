"""Microsoft.Resources."""
