"""The sentences of a result: what verdicts, which are facts, mean in words."""
