"""A local Azure: what the project's program meets where Azure itself is out of reach.

Owns the behaviour of the services that the program uses, bad behaviour included. Shares no code with the
program, so that it cannot share its mistakes.
"""
