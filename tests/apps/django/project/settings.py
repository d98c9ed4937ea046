"""No database, no apps, no templates: a page needs none."""

ALLOWED_HOSTS = ["*"]
DEBUG = True
ROOT_URLCONF = "project.urls"
SECRET_KEY = "for tests only"
TIME_ZONE = "UTC"
