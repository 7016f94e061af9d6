"""Microsoft.Authorization."""
