"""Figures from a trace."""
