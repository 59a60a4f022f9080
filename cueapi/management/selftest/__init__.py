"""The proof that `manage.py selftest` makes: real processes, real sockets, real kills, and what became of every cue.

Layers, each using only those below: run | report, killing, making | scratch, receivers, server | judging, plan |
kinds, facts, problems.
"""
