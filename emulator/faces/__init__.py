"""The protocols by which the local Azure is reached: ARM REST, Entra, blobs, Pulumi's provider protocol, scoring."""
