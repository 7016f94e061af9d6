"""Azure ML v1's `inferenceconfig.json` and deployment config, turned into a stack file and a Dockerfile."""
