"""Another number of positions for a checkpoint: methods, a plan, new files, and proofs of them."""
