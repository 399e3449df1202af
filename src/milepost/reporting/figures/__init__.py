"""Figures as inline SVG and small pictures."""
