"""What the agent does for and knows of its own process."""
