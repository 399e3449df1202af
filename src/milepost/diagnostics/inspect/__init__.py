"""The verb inspect: measures of position tables, findings MP2xx, pictures, and what changed between two tables."""
