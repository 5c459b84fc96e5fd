"""Pictures from a trace."""
