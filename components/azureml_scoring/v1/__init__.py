"""Azure ML v1's `inferenceconfig.json` and deployment config, turned into a stack's config.

Owns the way from the files of v1 to `Pulumi.STACK.yaml` and a Dockerfile. Refuses to own the config itself
(`settings/stack_file.py`), and to talk to Azure: what only Azure knows is told as a line.
"""
