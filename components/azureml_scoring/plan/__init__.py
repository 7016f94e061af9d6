"""What a preview can know without a provider: names, content keys, image, environment and assets."""
