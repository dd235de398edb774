"""What the command line can do beside running an agent."""
