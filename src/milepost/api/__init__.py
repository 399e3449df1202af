"""One function for each verb: it composes the packages below, and is all that the command line calls.

The modules import nothing heavy at their top: the command line reads the signatures for ``--help``.
"""
