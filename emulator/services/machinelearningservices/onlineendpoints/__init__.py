"""Online endpoints and their deployments."""
