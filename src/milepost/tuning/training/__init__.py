"""Training the rows of a position table: windows of documents, the training loop, checkpoints, what was gained."""
