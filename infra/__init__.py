"""The program of this project's stacks: config in, components built, outputs told."""
