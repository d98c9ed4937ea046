# mypy: ignore-errors
from wsgiref.types import WSGIApplication

from kinto import main
from marked import marked

SETTINGS = {
    "kinto.userid_hmac_secret": "a benchmark's",
    "kinto.includes": "kinto.plugins.default_bucket kinto.plugins.history kinto.plugins.flush",
    "kinto.bucket_create_principals": "system.Everyone",
    "multiauth.policies": "basicauth",
}


def make(global_config: dict[str, str] | None = None, **settings: str) -> WSGIApplication:
    return marked(main(global_config or {}, **SETTINGS, **settings))
