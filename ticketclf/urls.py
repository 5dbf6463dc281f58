"""The addresses: the pages, the API of both apps, its documentation, the admin, and what Prometheus scrapes."""

from django.contrib import admin
from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import LogoutView
from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from classifier import problems
from classifier.signing_in import PasswordView, SignInView, admin_door
from mlops.api import metrics

urlpatterns = [
    path("sign-in", SignInView.as_view(extra_context={"title": "Sign in"}), name="sign_in"),
    path("sign-out", LogoutView.as_view(), name="sign_out"),
    path("password", PasswordView.as_view(), name="password"),
    path("admin/login/", admin_door, name="admin_door"),  # before the admin's own, which nobody reaches
    path("admin/", admin.site.urls),
    path("metrics", metrics, name="metrics"),
    path("api/", include("classifier.urls")),
    path("api/", include("mlops.urls")),
    path("", include("mlops.views.urls")),
    path("api/schema/", SpectacularAPIView.as_view(), name="schema"),
    path("api/docs/", login_required(SpectacularSwaggerSplitView.as_view(url_name="schema")), name="docs"),
]
handler400 = problems.bad_request
handler403 = problems.permission_denied
handler404 = problems.not_found
handler500 = problems.server_error
