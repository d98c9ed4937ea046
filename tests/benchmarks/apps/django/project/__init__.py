# mypy: ignore-errors
"""A Django project with REST framework; the target is project.wsgi."""
