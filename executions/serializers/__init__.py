"""The shapes of executions and of what is said about them."""
