"""How the work of an execution reaches whoever does it."""
