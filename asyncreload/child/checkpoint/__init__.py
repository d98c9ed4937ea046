"""Checkpoints: frozen forks of a load, from which the next load goes on."""
