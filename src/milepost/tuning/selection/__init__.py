"""Which method of extension suits a model and its documents: measured, compared, recommended."""
