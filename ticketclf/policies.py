"""What a browser may do with our pages: the content security policies and who gets which."""

from __future__ import annotations

from typing import Any

from csp.constants import NONE, SELF, UNSAFE_EVAL, UNSAFE_INLINE
from csp.middleware import CSPMiddleware, PolicyParts
from django.http import HttpRequest

# Our own pages and /api/docs/: what is not in a file of ours does not run.
OURS: dict[str, Any] = {
    "default-src": [SELF],
    "img-src": [SELF, "data:"],
    "object-src": [NONE],
    "base-uri": [NONE],
    "form-action": [SELF],
    "frame-ancestors": [NONE],
}
# Unfold's Alpine compiles the expressions in its attributes; its templates and htmx put styles into the page. No page
# needs an inline script: tests/test_policies.py opens them all.
ADMINS = {**OURS, "script-src": [SELF, UNSAFE_EVAL], "style-src": [SELF, UNSAFE_INLINE]}
# No page of ours asks for any of these, so nothing that comes into one can.
PERMISSIONS = (
    "accelerometer=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), magnetometer=(), microphone=(), "
    "midi=(), payment=(), publickey-credentials-get=(), screen-wake-lock=(), usb=(), xr-spatial-tracking=()"
)


class PolicyMiddleware(CSPMiddleware):
    """Gives each page its policy. What the API answers is no page, and the predict route does not pay for one."""

    def __call__(self, request: HttpRequest) -> Any:
        path = request.path_info
        if path.startswith("/api/") and not path.startswith("/api/docs/"):
            return self.get_response(request)
        return super().__call__(request)

    def process_response(self, request: HttpRequest, response: Any) -> Any:
        response.setdefault("Permissions-Policy", PERMISSIONS)
        return super().process_response(request, response)

    def get_policy_parts(self, request: HttpRequest, response: Any, report_only: bool = False) -> PolicyParts:
        parts = super().get_policy_parts(request, response, report_only)
        if parts.config is None and not report_only and request.path_info.startswith("/admin/"):
            parts.config = ADMINS
        return parts
