"""Models from scratch, of transformers and of the user's own, whose weights begin alike."""
