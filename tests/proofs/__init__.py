"""Slow proofs with real processes: `python -m tests.proofs.kill`, `.minute` and `.first_webhook`.

Each prints what it measures and ends with a verdict in words; its exit status is 0 when the verdict is good, else 1.
`tests/flows/test_proofs.py` runs small versions of them in the suite.
"""
