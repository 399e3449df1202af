"""What makes writing safe: files, folders, locks, child processes and room on the disk; no torch."""
