"""The floor: accounts and keys, errors, limits, the outbound client, signing, settings, the queue."""

__version__ = "0.1.0"
