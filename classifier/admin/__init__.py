"""The admin's pages of `classifier`: tickets and what was said of them, and who may ask.

ModelVersion's page stands in mlops/admin, because only `mlops` may change a version's status.
"""

from django.contrib import admin
from django.http import Http404, HttpRequest

from classifier.admin import access, answers, doors, history, people, tickets

__all__ = ["access", "answers", "doors", "history", "people", "tickets"]


def no_search(_request: HttpRequest) -> None:
    """Stands in for Unfold's search over the pages' names: none of ours offers it, and `?page=x` makes it fail."""
    raise Http404


admin.site.search = no_search  # type: ignore[attr-defined, unused-ignore]
