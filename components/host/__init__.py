"""The folder that Pulumi's Python language host starts as a plugin.

It is a folder of its own because a plugin's folder comes first on Python's path: the modules beside it
(`components/types.py`) would hide the standard library's.
"""
