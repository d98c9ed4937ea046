"""Django's door: with `"asyncreload.django"` in INSTALLED_APPS, `manage.py runserver` is ours."""
