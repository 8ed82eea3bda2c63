"""Reads of stock: invariants, lists, trace codes."""
