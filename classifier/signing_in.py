"""The doors that people come in by: sign in, sign out, change one's password, and how long a session lasts."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import REDIRECT_FIELD_NAME, SESSION_KEY
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView, PasswordChangeView
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render, resolve_url
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.cache import never_cache

from classifier.lockout import SEEN

REFRESH_SECONDS = 1800  # a write of the session each half hour, where Django would write it at each request


class SignInForm(AuthenticationForm):
    """A user name and a password."""

    error_messages = {
        **AuthenticationForm.error_messages,
        "invalid_login": "This user name and password do not match. Both know upper from lower case.",
    }

    def clean_username(self) -> str:
        """The user name. Nobody has a longer one, and the column that failures are counted in takes no longer one."""
        username: str = self.cleaned_data["username"]
        if len(username) > (self.username_field.max_length or 0):
            raise self.get_invalid_login_error()
        return username


class SignInView(LoginView):
    """The one door. Leads on to `next`, if that is an address of ours."""

    form_class = SignInForm
    template_name = "pages/sign_in.html"
    redirect_authenticated_user = True

    def get_redirect_url(self, request: HttpRequest | None = None) -> str:
        """The address that `next` names; none if it is another host's, or this door, which would lead in a circle."""
        url = super().get_redirect_url()
        is_a_door = urlsplit(url).path in {reverse("sign_in"), reverse("admin_door")}
        return url if url.startswith("/") and not is_a_door else ""


class PasswordView(PasswordChangeView):
    """One's own password. Other sessions of the person end with the change, this one goes on."""

    template_name = "pages/password.html"
    title = "Change your password"

    def get_success_url(self) -> str:
        return resolve_url(settings.LOGIN_REDIRECT_URL)

    def form_valid(self, form: Any) -> HttpResponse:
        messages.success(self.request, "Your password is changed. Other browsers that you were signed in with are not.")
        return super().form_valid(form)


@never_cache
def admin_door(request: HttpRequest) -> HttpResponse:
    """Where the admin sends whoever may not enter: on to the one door, or, signed in already, to words that say why."""
    if request.user.is_authenticated and not request.user.is_staff:
        return render(request, "pages/not_staff.html", {"title": "For staff only"}, status=403)
    onward = request.GET.get(REDIRECT_FIELD_NAME) or reverse("admin:index")
    return HttpResponseRedirect(f"{reverse('sign_in')}?{urlencode({REDIRECT_FIELD_NAME: onward})}")


def staying_signed_in(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Middleware: whoever is at work stays signed in, SESSION_COOKIE_AGE after the last request and not the first."""

    def answer(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        session = request.session
        # Only of a session that was read anyway: a call with an API key does not come near it. A page that refreshes
        # itself is nobody at work.
        if request.headers.get("X-Requested-With") == "fetch":
            return response
        if session.accessed and SESSION_KEY in session and time.time() - session.get(SEEN, 0) > REFRESH_SECONDS:
            session[SEEN] = int(time.time())
        return response

    return answer
