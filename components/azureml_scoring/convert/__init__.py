"""What others have made, turned into stack files: Azure ML v1's configs, the YAML of `az ml`, and live endpoints.

Refuses to own the stack file's fields (`settings/`), and to change anything on Azure.
"""
