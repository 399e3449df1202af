"""Mutations of everything that Milepost reads: only its own errors may come out, in bounded time and memory."""
