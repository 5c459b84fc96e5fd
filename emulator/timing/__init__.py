"""The timing plane: when everything happens."""
