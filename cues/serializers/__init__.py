"""The shapes of cues: what comes in and what goes out."""
