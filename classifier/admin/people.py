"""The pages of people and groups: Django's own in the admin's look, safe in the hands of who is no superuser."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin  # importing it registers Django's page
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, Permission
from django.db.models import Model
from django.http import HttpRequest
from django.utils.text import capfirst
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from classifier.admin.base import CarefulAdmin
from classifier.admin.cells import NOTHING, moment
from classifier.admin.filters import InGroup
from classifier.models import User

admin.site.unregister(Group)
joined = moment("date_joined", "joined")
signed_in = moment("last_login", "signed in")
POWERS = (
    "is_staff",
    "is_superuser",
    "groups",
)  # what a person may do comes by groups, so that it can be seen at one place


@admin.register(User)
class UserAdmin(DjangoUserAdmin, CarefulAdmin):
    """People who sign in. Only a superuser hands out powers, and only a superuser changes a superuser."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("username", "full_name", "email", "is_active", "is_staff", "is_superuser", signed_in)
    list_filter = ("is_active", "is_staff", "is_superuser", InGroup)
    add_fieldsets = ((None, {"fields": ("username", "password1", "password2")}),)
    fieldsets = (
        (None, {"fields": ("username", "password", "first_name", "last_name", "email")}),
        ("What they may do", {"fields": ("is_active", *POWERS)}),
        ("When", {"fields": (signed_in, joined)}),
    )

    @admin.display(description="name")
    def full_name(self, user: User) -> str:
        return user.get_full_name() or NOTHING

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> tuple[Any, ...]:
        given = (signed_in, joined)
        return given if request.user.is_superuser else (*given, *POWERS)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and not is_above(obj, request)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and not is_above(obj, request)


DEEDS = {"add": "add", "change": "change", "delete": "remove", "view": "see"}


def in_words(permission: Permission) -> str:
    """What a permission lets one do, in the names that the pages have; its own name may be older than theirs."""
    deed, _underscore, model = permission.codename.partition("_")
    kind = permission.content_type.model_class()
    rows = str(permission.content_type if kind is None else kind._meta.verbose_name_plural)
    is_usual = deed in DEEDS and model == permission.content_type.model
    return capfirst(f"{rows}: {DEEDS[deed] if is_usual else permission.name}")


def is_above(user: User | None, request: HttpRequest) -> bool:
    """Whether the user is a superuser and the one who asks is not."""
    return user is not None and user.is_superuser and not request.user.is_superuser


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, CarefulAdmin):
    """Sets of permissions. Whoever changes one changes what its members may do, so that is a superuser's work."""

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **named: Any) -> Any:
        """Offers the permissions of what has a page here; others, such as those of a package's own keys, mislead."""
        field = super().formfield_for_manytomany(db_field, request, **named)
        models = [model._meta.model_name for model in self.admin_site._registry]
        apps = {model._meta.app_label for model in self.admin_site._registry}
        offered = Permission.objects.filter(content_type__app_label__in=apps, content_type__model__in=models)
        field.queryset = offered.select_related("content_type")
        field.label_from_instance = in_words
        return field

    def has_add_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_superuser)

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return bool(request.user.is_superuser)

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return bool(request.user.is_superuser)
