"""What was sold."""
