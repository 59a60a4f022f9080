"""Doors: executions and what is said about them (contract 5, 7 and 8)."""
