"""Microsoft.ManagedIdentity."""
