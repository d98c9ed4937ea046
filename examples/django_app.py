"""A Django site in one file. Run it: asyncreload examples/django_app.py --port 8000.

It needs: pip install django. Then change the greeting, save, and reload the page.
"""

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.utils.html import format_html

GREETING = "Hello from Django"

if not settings.configured:
    settings.configure(ALLOWED_HOSTS=["*"], DEBUG=True, ROOT_URLCONF=__name__)


def index(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"<h1>{GREETING}</h1>\n<p>Try <a href='/hello/you'>/hello/you</a>.</p>\n")


def hello(request: HttpRequest, name: str) -> HttpResponse:
    return HttpResponse(format_html("<h1>{}, {}</h1>\n", GREETING, name))


urlpatterns = [path("", index), path("hello/<name>", hello)]
application = get_wsgi_application()
