"""One function for each verb: it composes the packages below, and is all that the command line calls."""
