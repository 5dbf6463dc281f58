"""The pages of people and groups: Django's own in the admin's look, safe in the hands of who is no superuser.

One rule: nobody hands out, takes away or takes over what they do not hold themselves. So an administrator gives people
their roles, and whoever may change users but not promote cannot make anybody, or themselves, one who may.
"""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin  # importing it registers Django's page
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, Permission
from django.db.models import Model, Q, QuerySet
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
# What a person may do comes by groups, so that it can be seen at one place.
HELP = {
    "is_active": "Off: cannot sign in. For somebody who left; what they did stays on record under their name.",
    "is_staff": "May enter this admin; what they see here, their groups say. The other pages ask for no staff.",
    "is_superuser": "May do everything, without any group, and alone changes superusers. Keep to one or two.",
    "groups": "The roles. agent: label, try, read. data scientist: runs, promotions within the gate, imports, exports "
    "as well. admin: all of it, promotions against the gate, API keys, people. You can give what you hold yourself.",
}


class PersonForm(UserChangeForm):
    """A person, with what each power is needed for."""

    class Meta(UserChangeForm.Meta):
        model = User
        help_texts: ClassVar = HELP


@admin.register(User)
class UserAdmin(DjangoUserAdmin, CarefulAdmin):
    """People who sign in, and their roles. Only a superuser makes superusers, and changes one."""

    form = PersonForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("username", "full_name", "email", "is_active", "is_staff", "is_superuser", signed_in)
    list_filter = ("is_active", "is_staff", "is_superuser", InGroup)
    add_fieldsets = ((None, {"fields": ("username", "password1", "password2")}),)
    fieldsets = (
        (None, {"fields": ("username", "password", "first_name", "last_name", "email")}),
        ("What they may do", {"fields": ("is_active", "is_staff", "groups", "is_superuser")}),
        ("When", {"fields": (signed_in, joined)}),
    )

    @admin.display(description="name")
    def full_name(self, user: User) -> str:
        return user.get_full_name() or NOTHING

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> tuple[Any, ...]:
        given = (signed_in, joined)
        return given if request.user.is_superuser else (*given, "is_superuser")

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **named: Any) -> Any:
        field = super().formfield_for_manytomany(db_field, request, **named)
        if db_field.name == "groups":
            field.queryset = within(request, field.queryset)
        return field

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and not is_above(obj, request)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and not is_above(obj, request)


def names(permissions: QuerySet) -> set[str]:
    """Permissions as has_perm takes them."""
    rows = permissions.values_list("content_type__app_label", "codename")
    return {f"{app}.{codename}" for app, codename in rows.distinct().order_by()}


DEEDS = {"add": "add", "change": "change", "delete": "remove", "view": "see"}


def in_words(permission: Permission) -> str:
    """What a permission lets one do, in the names that the pages have; its own name may be older than theirs."""
    deed, _underscore, model = permission.codename.partition("_")
    kind = permission.content_type.model_class()
    rows = str(permission.content_type if kind is None else kind._meta.verbose_name_plural)
    is_usual = deed in DEEDS and model == permission.content_type.model
    return capfirst(f"{rows}: {DEEDS[deed] if is_usual else permission.name}")


def is_above(user: User | None, request: HttpRequest) -> bool:
    """Whether a user may do something that the one who asks may not: whose password that one must not set.

    Asked of the rows, as somebody who was made inactive holds nothing but could be made active again.
    """
    if user is None or request.user.is_superuser:
        return False
    held = names(Permission.objects.filter(Q(user=user) | Q(group__user=user)))
    return user.is_superuser or not held <= request.user.get_all_permissions()


def within(request: HttpRequest, groups: QuerySet) -> QuerySet:
    """Those of the groups that hold nothing which the one who asks does not hold."""
    if request.user.is_superuser:
        return groups
    held = request.user.get_all_permissions()
    rows = Permission.objects.filter(group__isnull=False)
    rows = rows.values_list("group", "content_type__app_label", "codename").order_by()
    return groups.exclude(pk__in={group for group, app, codename in rows if f"{app}.{codename}" not in held})


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, CarefulAdmin):
    """Sets of permissions; the three roles are such. Whoever changes one changes what its members may do."""

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **named: Any) -> Any:
        """Offers the permissions of what has a page here; others, such as those of a package's own keys, mislead."""
        field = super().formfield_for_manytomany(db_field, request, **named)
        models = [model._meta.model_name for model in self.admin_site._registry]
        apps = {model._meta.app_label for model in self.admin_site._registry}
        offered = Permission.objects.filter(content_type__app_label__in=apps, content_type__model__in=models)
        if not request.user.is_superuser:
            held = request.user.get_all_permissions()
            rows = offered.values_list("pk", "content_type__app_label", "codename")
            offered = offered.filter(pk__in=[pk for pk, app, codename in rows if f"{app}.{codename}" in held])
        field.queryset = offered.select_related("content_type")
        field.label_from_instance = in_words
        return field

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and self._is_within(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and self._is_within(request, obj)

    def _is_within(self, request: HttpRequest, group: Group | None) -> bool:
        return group is None or within(request, Group.objects.filter(pk=group.pk)).exists()
