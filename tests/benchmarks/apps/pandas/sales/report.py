# mypy: ignore-errors
from flask import Blueprint

from sales.data import LIKE, SALES

pages = Blueprint("pages", __name__)


@pages.get("/")
def best() -> str:
    months = SALES.groupby([SALES["day"].dt.month, "shop"])["sold"].sum()
    return f"best: {months.idxmax()}, {LIKE[0]:.1f}"
