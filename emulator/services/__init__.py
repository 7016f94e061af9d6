"""One package a resource provider of Azure, each with the same file names (see the package `emulator`)."""
