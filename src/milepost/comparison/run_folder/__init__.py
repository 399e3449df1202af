"""The run folder of a comparison: its records, its journal, and which results it shows."""
