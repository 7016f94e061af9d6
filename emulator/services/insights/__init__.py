"""Microsoft.Insights: Application Insights and Azure Monitor."""
