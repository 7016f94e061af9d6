"""The page of the local Azure: what it holds and does, for a browser on this machine.

Owns the listener, who may open it (`access`), what is hidden (`redaction`), and one view model a view. What it shows is
read from the documents, the journal and the backends; what it changes goes through the same functions as the faces.
"""
