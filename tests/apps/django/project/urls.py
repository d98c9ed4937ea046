"""The one page, and where it is."""

from django.http import HttpRequest, HttpResponse
from django.urls import path

VERSION = "1"


def index(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"app={VERSION}")


urlpatterns = [path("", index)]
