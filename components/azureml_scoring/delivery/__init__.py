"""Delivery: what a preview says to reviewers. Reads what the Pulumi CLI prints; never runs a provider itself."""
