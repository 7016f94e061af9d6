"""Kubernetes clusters: Microsoft.ContainerService, Microsoft.Kubernetes, Microsoft.KubernetesConfiguration."""
