"""Microsoft.OperationalInsights."""
