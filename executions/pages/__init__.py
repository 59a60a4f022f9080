"""Doors: a user's own view of what happened, as pages. Each reads as the API does, for one account."""
