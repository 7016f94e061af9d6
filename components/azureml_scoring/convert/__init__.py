"""Files of other tools, turned into stack files: Azure ML v1's configs (`v1/`) and the YAML of `az ml` (`v2/`).

Refuses to own the stack file's fields (`settings/`), and to change anything on Azure.
"""
