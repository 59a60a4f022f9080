"""The published clients of this API, unmodified, against a server of ours in real processes."""
