"""Where trials run: processes of this machine, several processes per trial, or a Ray cluster."""
