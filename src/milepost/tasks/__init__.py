"""What a model is asked to do: data, batches, loss."""

from milepost.tasks.causal_lm import CausalLM
from milepost.tasks.text import BUILTINS, TextSource, read_text

__all__ = ["BUILTINS", "CausalLM", "TextSource", "read_text"]
