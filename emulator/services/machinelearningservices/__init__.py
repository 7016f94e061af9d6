"""Microsoft.MachineLearningServices, a package a family of its types, each with the same file names again."""
