"""Find a mapping: an exact optimum of a simple model first, then a search with the timing plane in its loop."""
