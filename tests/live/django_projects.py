"""A project as Django's own `startproject` makes it, with an app."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from tests.live.driving import lay_out

if TYPE_CHECKING:
    from pathlib import Path

MANAGE = (sys.executable, "manage.py")
APP = {
    "mysite/urls.py": """\
from django.contrib import admin
from django.urls import path
from shop import views

urlpatterns = [
    path("admin/", admin.site.urls), path("", views.home), path("fails/", views.fails),
]
""",
    "shop/__init__.py": "",
    "shop/apps.py": """\
import os
from django.apps import AppConfig

class ShopConfig(AppConfig):
    name = "shop"
    in_server = os.environ.get("RUN_MAIN")
""",
    "shop/models.py": """\
from django.db import models

class Item(models.Model):
    name = models.CharField(max_length=20)
    class Meta:
        managed = False
""",
    "shop/views.py": """\
import os
from django.apps import apps
from django.shortcuts import render

def home(request):
    told = {"pid": os.getpid(), "in_server": apps.get_app_config("shop").in_server}
    return render(request, "shop/home.html", told)

def fails(request):
    raise LookupError("nothing on this shelf")
""",
    "shop/templates/shop/home.html": """\
{% load static %}<link rel="stylesheet" href="{% static 'shop/site.css' %}">
<h1>Shop</h1><p>{{ pid }}</p><p>{{ in_server }}</p>
""",
    "shop/static/shop/site.css": "h1 { color: red }\n",
}


def start_project(directory: Path) -> None:
    """Make the project in an empty directory, and its database."""
    for command in ["-m django startproject mysite .", "manage.py migrate -v 0"]:
        subprocess.run([sys.executable, *command.split()], cwd=directory, check=True)
    lay_out(directory, files=APP)
    install(directory, "shop")


def install(site: Path, app: str) -> None:
    """Put an app first in INSTALLED_APPS."""
    settings = site / "mysite/settings.py"
    head, line, tail = settings.read_text().partition("INSTALLED_APPS = [\n")
    settings.write_text(f"{head}{line}    {app!r},\n{tail}")
