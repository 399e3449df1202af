"""Documents on a terminal, one file for each verb."""
