"""The page of failures to sign in: who is locked out, from where, until when. Rows are django-axes' own."""

from __future__ import annotations

from axes.models import AccessAttempt
from django.conf import settings
from django.contrib import admin
from django.db.models import OuterRef, QuerySet, Subquery, Sum
from django.utils import timezone
from unfold.decorators import display

from classifier.admin.base import FactAdmin
from classifier.admin.cells import NOTHING, moment, when
from classifier.lockout import attempts_of, locked_until


@admin.register(AccessAttempt)
class FailedSignInAdmin(FactAdmin):
    """A user name that was tried in vain, from an address with a browser; gone when the lock-out's time is over."""

    empty = "Nobody failed to sign in lately. A failure stays here until somebody signs in after its time is over."
    list_display = (moment("attempt_time", "last try"), "name", "address", "failures", "is_locked", "browser")
    list_filter = ("attempt_time",)
    search_fields = ("username",)
    search_help_text = "A user name, as it was typed"
    sortable_by = ()
    fields = ("name", "address", "browser", "failures", list_display[0], "locked", "lift")

    def for_list(self, queryset: QuerySet) -> QuerySet:
        # Of all browsers at the address: their failures lock together.
        same = AccessAttempt.objects.filter(username=OuterRef("username"), ip_address=OuterRef("ip_address"))
        recent = same.filter(attempt_time__gte=timezone.now() - settings.AXES_COOLOFF_TIME).order_by()
        return queryset.annotate(
            together=Subquery(recent.values("username").annotate(all=Sum("failures_since_start")).values("all"))
        )

    @display(description="user name")
    def name(self, attempt: AccessAttempt) -> str:
        return attempt.username or NOTHING

    @display(description="from")
    def address(self, attempt: AccessAttempt) -> str:
        return attempt.ip_address or NOTHING

    @display(description="failures")
    def failures(self, attempt: AccessAttempt) -> int:
        return attempt.failures_since_start

    @display(description="with")
    def browser(self, attempt: AccessAttempt) -> str:
        return attempt.user_agent or NOTHING

    @display(description="state", label={"locked out": "danger"})
    def is_locked(self, attempt: AccessAttempt) -> str | None:
        return "locked out" if (attempt.together or 0) >= settings.AXES_FAILURE_LIMIT else None

    @display(description="locked out until")
    def locked(self, attempt: AccessAttempt) -> str:
        until = locked_until(attempts_of(attempt.username, attempt.ip_address), now=timezone.now())
        return NOTHING if until is None else when(until, to_the_second=True)

    @display(description="to lift it")
    def lift(self, attempt: AccessAttempt) -> str:
        minutes = int(settings.AXES_COOLOFF_TIME.total_seconds() // 60)
        return f"Wait {minutes} minutes after the last try, or run manage.py axes_reset_username {attempt.username}."
