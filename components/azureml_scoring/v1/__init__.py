"""Azure ML v1's `inferenceconfig.json` and deployment config, turned into a stack file and a Dockerfile.

Refuses to own the stack file's fields (`settings/stack_file.py`), and to talk to Azure: what only Azure knows becomes
a note.
"""
