"""The stack: configuration in, components built, outputs out."""
