"""Sets a machine up: Pulumi, Docker, a base image, a registry, the local Azure. Knows nothing of what stacks hold."""
