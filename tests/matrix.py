"""Who may what: one row for each address, by the name of its route. tests/test_roles.py holds the program to it.

A new page wants a line in PAGES (or in EXPECTED, while it is not there yet), a new call of the API one in API, a new
page of rows one in MODELS, a button on such a page one in ACTIONS.

A method that a row names is open to exactly those whom it names. One that it does not name does nothing for anybody
whom the row does not name for another method.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from classifier.models import Scope
from mlops.roles import ADMIN, AGENT, DATA_SCIENTIST

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
NOBODY, SUPERUSER = "nobody", "superuser"
PEOPLE = (NOBODY, AGENT, DATA_SCIENTIST, ADMIN, SUPERUSER)  # all but nobody are staff here: /admin/ asks for it first

EVERYBODY = frozenset(PEOPLE)
SIGNED_IN = EVERYBODY - {NOBODY}
AGENTS = SIGNED_IN  # agents and who may more
SCIENTISTS = AGENTS - {AGENT}
ADMINS = SCIENTISTS - {DATA_SCIENTIST}
SUPERUSERS = ADMINS - {ADMIN}
NONE: frozenset[str] = frozenset()
Who = frozenset[str]

ANY_KEY = frozenset(f"key {scope}" for scope in Scope.values)
KEYS = sorted(ANY_KEY)
WHO_HAS = {
    "predict": AGENTS, "label": AGENTS, "read": AGENTS, "run": SCIENTISTS, "promote": SCIENTISTS, "metrics": SCIENTISTS,
}  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One address: of each method, who may."""

    methods: dict[str, Who] = field(default_factory=dict)

    @property
    def anybody(self) -> Who:
        return frozenset().union(*self.methods.values())


def row(**methods: Who) -> Row:
    return Row(methods)


def scoped(**methods: str) -> Row:
    """A call of the API: of each method the scopes, any of which will do, for people and keys alike."""
    return Row(
        {
            method: frozenset().union(*(WHO_HAS[scope] | {f"key {scope}"} for scope in scopes.split()))
            for method, scopes in methods.items()
        }
    )


# --- Pages ----------------------------------------------------------------------------------------
PAGES = {
    "sign_in": row(GET=EVERYBODY, POST=EVERYBODY),
    "sign_out": row(POST=EVERYBODY),
    "password": row(GET=SIGNED_IN, POST=SIGNED_IN),
    "overview": row(GET=AGENTS),
    "status": row(GET=AGENTS),
    "quality": row(GET=AGENTS),
    "quality_tickets": row(GET=AGENTS),
    "quality_label": row(POST=AGENTS),
    "quality_keep_answers": row(POST=SCIENTISTS),
    "quality_promote": row(GET=SCIENTISTS, POST=SCIENTISTS),
    "quality_roll_back": row(GET=SCIENTISTS, POST=SCIENTISTS),
    "monitoring": row(GET=AGENTS),
    "drift": row(GET=AGENTS),
    "runbook": row(GET=AGENTS),
    "concepts": row(GET=AGENTS),
    "try": row(GET=AGENTS, POST=AGENTS),
    "queue": row(GET=AGENTS, POST=AGENTS),
    "imports": row(GET=SCIENTISTS, POST=SCIENTISTS),
    "import_job": row(GET=SCIENTISTS, POST=SCIENTISTS),
    "import_progress": row(GET=SCIENTISTS),
    "import_refused": row(GET=SCIENTISTS),
    "exports": row(GET=SCIENTISTS),
    "export": row(GET=SCIENTISTS),
    "samples_make": row(POST=SIGNED_IN),  # asks for staff, which all are here; shut off on a database of one's own
    "samples_remove": row(POST=SIGNED_IN),
}
# Pages that are not there yet may have their row already, if they are named here.
EXPECTED: set[str] = set()

# --- API ------------------------------------------------------------------------------------------
API = {
    "predict": scoped(POST="predict"),
    "feedback": scoped(POST="label"),
    "ticket": scoped(GET="read"),
    "label": scoped(PUT="label"),
    "categories": scoped(GET="predict read"),
    "live_quality": scoped(GET="read"),
    "retrain_decisions": scoped(GET="read run"),
    "runs": scoped(GET="read run", POST="run"),
    "run": scoped(GET="read run"),
    "drift_stats": scoped(GET="read"),
    "drift_snapshots": scoped(GET="read"),
    "versions": scoped(GET="read promote"),
    "version": scoped(GET="read promote"),
    "versions_history": scoped(GET="read promote"),
    "promote": scoped(POST="promote"),
    "roll_back": scoped(POST="promote"),
    "health": scoped(GET="read metrics"),
    "health_live": row(GET=EVERYBODY | ANY_KEY),
    "health_ready": row(GET=EVERYBODY | ANY_KEY),
    "schema": row(GET=SIGNED_IN | ANY_KEY),
    "docs": row(GET=SIGNED_IN),
    "metrics": row(GET=frozenset({"key metrics"})),  # from another machine; from this one anybody may
}


# --- Admin ----------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Rows:
    """The admin's pages of one model."""

    view: Who
    add: Who = NONE
    change: Who = NONE
    delete: Who = NONE

    def as_rows(self, name: str) -> dict[str, Row]:
        return {
            f"admin:{name}_changelist": row(GET=self.view, POST=self.view),
            f"admin:{name}_history": row(GET=self.view),
            f"admin:{name}_add": row(GET=self.add, POST=self.add),
            f"admin:{name}_change": row(GET=self.view, POST=self.change),
            f"admin:{name}_delete": row(GET=self.delete, POST=self.delete),
        }


SCHEDULE = Rows(view=SCIENTISTS, add=ADMINS, change=ADMINS, delete=ADMINS)
MODELS = {
    "classifier_ticket": Rows(view=AGENTS, change=SCIENTISTS, delete=SUPERUSERS),
    "classifier_label": Rows(view=AGENTS),
    "classifier_prediction": Rows(view=AGENTS),
    "classifier_modelversion": Rows(view=AGENTS),
    "classifier_category": Rows(view=AGENTS, add=ADMINS, change=ADMINS, delete=ADMINS),
    "classifier_user": Rows(view=ADMINS, add=ADMINS, change=ADMINS, delete=ADMINS),
    "auth_group": Rows(view=ADMINS, add=ADMINS, change=ADMINS, delete=ADMINS),
    "classifier_apikey": Rows(view=ADMINS, add=ADMINS, change=ADMINS),
    "classifier_apirequest": Rows(view=ADMINS),
    "axes_accessattempt": Rows(view=ADMINS),
    "mlops_trainingrun": Rows(view=SCIENTISTS),
    "mlops_dataset": Rows(view=SCIENTISTS),
    "mlops_promotion": Rows(view=SCIENTISTS),
    "mlops_aliasmove": Rows(view=SCIENTISTS),
    "mlops_driftsnapshot": Rows(view=SCIENTISTS),
    "mlops_retraindecision": Rows(view=SCIENTISTS),
    "mlops_slot": Rows(view=SCIENTISTS),
    "mlops_importjob": Rows(view=SCIENTISTS),
    "admin_logentry": Rows(view=ADMINS),
    "django_celery_beat_periodictask": SCHEDULE,
    "django_celery_beat_intervalschedule": SCHEDULE,
    "django_celery_beat_crontabschedule": SCHEDULE,
    "django_celery_beat_clockedschedule": SCHEDULE,
}
ACTIONS = {
    "admin:classifier_modelversion_promote": row(GET=SCIENTISTS, POST=SCIENTISTS),
    "admin:classifier_modelversion_compare": row(GET=AGENTS),
    "admin:mlops_promotion_roll_back": row(GET=SCIENTISTS, POST=SCIENTISTS),
    "admin:mlops_trainingrun_start": row(GET=SCIENTISTS, POST=SCIENTISTS),
    "admin:classifier_apikey_revoke": row(GET=ADMINS, POST=ADMINS),
    "admin:auth_user_password_change": row(GET=ADMINS, POST=ADMINS),
}
OF_THE_ADMIN = {
    "admin_door": row(),  # leads to the one door, which leads on
    "admin:index": row(GET=SIGNED_IN),
    "admin:app_list": row(GET=SIGNED_IN),  # nothing on it that its reader may not see
    "admin:logout": row(POST=EVERYBODY),
    "admin:password_change": row(GET=SIGNED_IN, POST=SIGNED_IN),
    "admin:password_change_done": row(GET=SIGNED_IN),
    "admin:jsi18n": row(GET=SIGNED_IN),
    "admin:search": row(GET=SIGNED_IN),  # answers 404
    "admin:autocomplete": row(),  # no form of ours asks it
    "admin:view_on_site": row(GET=SIGNED_IN),  # no model has a page of its own: 404
    "admin/(?P<url>.*)$": row(GET=SIGNED_IN),  # 404
    # The address of a row without a page's name leads on to its form, which asks.
    **{f"admin:{name} <path:object_id>/": row(GET=SIGNED_IN) for name in MODELS},
}
TABLE: dict[str, Row] = {
    **PAGES,
    **API,
    **ACTIONS,
    **OF_THE_ADMIN,
    **{name: rows for model, each in MODELS.items() for name, rows in each.as_rows(model).items()},
}
