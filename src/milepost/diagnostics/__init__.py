"""Checks of what checkpoints know about position: tables (MP2xx) and folders (MP3xx); numpy, no torch."""
