# mypy: ignore-errors
"""Where the one page is."""

from django.urls import path

from project.views import Books

urlpatterns = [path("", Books.as_view())]
