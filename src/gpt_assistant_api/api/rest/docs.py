"""The documentation page: Swagger UI from a package, without a CDN and without inline code."""

from importlib.resources import files

from fastapi import Request
from fastapi.responses import JSONResponse

from gpt_assistant_api.api.rest.context import router
from gpt_assistant_api.api.web import WebPage

routes = router("Operations")

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'; object-src 'none'"
)
_FILES = ("swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png")
_PAGE = b"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>GPT Assistant API</title>
<link rel="icon" href="/assets/docs/favicon-32x32.png">
<link rel="stylesheet" href="/assets/docs/swagger-ui.css">
</head>
<body>
<div id="page"></div>
<script src="/assets/docs/swagger-ui-bundle.js"></script>
<script src="/assets/docs/start.js"></script>
</body>
</html>
"""
_START = b"""SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#page",
  deepLinking: true,
  displayRequestDuration: true,
  defaultModelsExpandDepth: 0,
  tryItOutEnabled: true,
  persistAuthorization: false,
});
"""


def docs_page() -> WebPage:
    """Return the documentation page. Its files are called `docs/...`."""
    resources = files("fastapi_swagger") / "resources"
    assets = {f"docs/{name}": (resources / name).read_bytes() for name in _FILES}
    return WebPage(
        html=_PAGE,
        headers={"Content-Security-Policy": _POLICY},
        assets={**assets, "docs/start.js": _START},
    )


@routes.get("/openapi.json", operation_id="get_openapi", include_in_schema=False)
async def get_openapi(request: Request) -> JSONResponse:
    """Give the API's description."""
    return JSONResponse(request.app.openapi())
