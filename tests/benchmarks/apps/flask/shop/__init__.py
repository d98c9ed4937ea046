# mypy: ignore-errors
"""Models and pages."""
