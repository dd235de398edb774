"""What to check and when: the targets, each on its own clock."""
