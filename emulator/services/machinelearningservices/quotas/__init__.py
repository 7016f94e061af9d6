"""Quotas of Azure ML in a region: sizes of machines, and cores in use and allowed."""
