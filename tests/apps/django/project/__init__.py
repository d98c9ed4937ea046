"""A small Django project; its target is project.wsgi."""
