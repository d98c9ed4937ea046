# mypy: ignore-errors
from mapproxy.wsgiapp import make_wsgi_app
from marked import marked

application = marked(make_wsgi_app("mapproxy.yaml"))
