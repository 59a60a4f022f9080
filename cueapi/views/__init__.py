"""Doors of the floor: accounts, keys, login, and what the service says of itself."""
