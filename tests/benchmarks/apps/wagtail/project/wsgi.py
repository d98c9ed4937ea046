# mypy: ignore-errors
import os

from django.core.wsgi import get_wsgi_application
from marked import marked

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
application = marked(get_wsgi_application())
