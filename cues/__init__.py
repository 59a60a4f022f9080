"""What should happen and when: cues, their schedules, and the scheduler that watches them."""
