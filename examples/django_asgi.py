"""A Django site served by ASGI. Run it: asyncreload examples/django_asgi.py --port 8000.

It needs: pip install django '.[asgi]'. Then change the greeting, save, reload the page.
"""

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.utils.html import format_html

GREETING = "Hello from async Django"

if not settings.configured:
    settings.configure(ALLOWED_HOSTS=["*"], DEBUG=True, ROOT_URLCONF=__name__)


async def index(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"<h1>{GREETING}</h1>\n<p>Try <a href='/hello/you'>/hello/you</a>.</p>\n")


async def hello(request: HttpRequest, name: str) -> HttpResponse:
    return HttpResponse(format_html("<h1>{}, {}</h1>\n", GREETING, name))


urlpatterns = [path("", index), path("hello/<name>", hello)]
application = get_asgi_application()
