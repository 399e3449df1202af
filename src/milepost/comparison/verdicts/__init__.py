"""From the numbers of trials to verdicts: scores, comparisons, a recommendation; facts, no sentences."""
