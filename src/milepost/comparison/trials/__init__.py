"""One trial: its model, its training, its measurements, and what it keeps."""
