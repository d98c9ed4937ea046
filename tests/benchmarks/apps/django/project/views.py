# mypy: ignore-errors
"""The one page."""

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from project.models import Book

VERSION = "1"


class BookSerializer(serializers.ModelSerializer):
    """A book as JSON."""

    class Meta:
        """What of it."""

        model = Book
        fields = ("title", "year")


class Books(APIView):
    """All books there are."""

    def get(self, request: Request) -> Response:
        books = [Book(title="Emma", year=1815), Book(title="Persuasion", year=1817)]
        found = BookSerializer(books, many=True).data
        return Response({"version": f"version={VERSION}", "books": found})
