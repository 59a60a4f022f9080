"""The show that `manage.py demo` gives: scenes played against a running server, over its public API alone.

Layers, each using only those below: scenes | login | server, receiver, screen | problems.
"""
