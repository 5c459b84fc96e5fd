"""The network: a graph of quantised layers, where it comes from, and its plain execution."""
