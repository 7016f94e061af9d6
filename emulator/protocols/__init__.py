"""The protocols by which clients reach the local Azure: ARM REST, Entra, Graph, blobs, vaults, scoring, gRPC."""
