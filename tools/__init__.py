"""What has to be on a machine before the program can run: engine, language host, Docker, images, the local Azure.

Owns finding, installing and starting those. Knows nothing of what the program declares.
"""
