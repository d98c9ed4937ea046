# mypy: ignore-errors
"""One model; its table is never made."""

from django.db import models


class Book(models.Model):
    """Was written."""

    title = models.CharField(max_length=100)
    year = models.IntegerField()

    def __str__(self) -> str:
        return str(self.title)
