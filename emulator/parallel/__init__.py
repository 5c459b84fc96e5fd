"""Ranks: communicators, partition, wire format."""
