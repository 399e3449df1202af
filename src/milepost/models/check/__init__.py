"""Is a swapped model right: checks of a model, and a self-test of the installed versions."""
