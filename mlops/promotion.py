"""Which version answers: the one place that changes a version's status. Judging a candidate is judging.py."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from classifier.inference import load
from classifier.ml.artifact import DamagedModel
from classifier.models import ApiKey, ModelVersion, User
from mlops.judging import Verdict, judge, self_test
from mlops.models import Promotion
from mlops.rules import Rule

Status = ModelVersion.Status
NONE = 0  # no version has this number


class GateSaysNo(RuntimeError):
    """A candidate did not pass; the message says which rules failed, by how much, and what can be done."""

    def __init__(self, version: ModelVersion, verdict: Verdict) -> None:
        self.verdict = verdict
        super().__init__(
            f"{str(version).capitalize()} does not pass the gate: {verdict.in_words()} "
            "Train a better one, or promote it all the same with --force and the reason for it."
        )


class NotPromotable(RuntimeError):
    """The version can never go to production, forced or not: a demo one, a damaged one, or the one that is there."""


class PromotionConflict(RuntimeError):
    """What is in production is not, or no longer, what the caller or the gate thought."""


class NothingToRollBackTo(RuntimeError):
    """No version was in production before the one that is."""

    def __init__(self, now_there: ModelVersion | None) -> None:
        fact = f"before {now_there} none was there" if now_there else "nothing is in production"
        super().__init__(
            f"A roll-back needs a version that was in production before; {fact}. Promote one by its number instead."
        )


def promote(
    version: ModelVersion,
    *,
    reason: str,
    by: User | None = None,
    key: ApiKey | None = None,
    force: bool = False,
    expected: int | None = None,
    verdict: Verdict | None = None,
    now: datetime | None = None,
) -> Promotion:
    """Puts a version into production and writes down since when, by whom, why, and instead of which.

    expected: the number of the version that the caller believes to be in production, NONE for none. verdict: what the
    gate said, if it was asked before; it must be about what is in production now. force: promotes although the gate
    says no, and records that it was forced.
    Raises GateSaysNo, NotPromotable, PromotionConflict, and ValueError for a missing reason.
    """
    _demand_reason(reason)
    _refuse_unfit(version)
    version.refresh_from_db(fields=["status"])  # somebody may have promoted it since it was read
    if version.status == Status.PRODUCTION:
        raise NotPromotable(f"{str(version).capitalize()} is in production already. Nothing is to be done.")
    verdict = verdict or judge(version)
    _refuse_another(expected, found=verdict.production)
    if not verdict.passed and not force:
        raise GateSaysNo(version, verdict)
    row = Promotion(version=version, by=by, key=key, reason=reason.strip(), forced=not verdict.passed)
    return _put_in(row, verdict, now=now)


def roll_back(
    *,
    reason: str,
    by: User | None = None,
    key: ApiKey | None = None,
    expected: int | None = None,
    now: datetime | None = None,
) -> Promotion:
    """Puts the version back that was in production before the one that is; a second time, the one before that.

    The gate is not asked, for that version has answered before. One that cannot answer any more is passed over, which
    the verdict says. expected: as in promote.
    Raises NothingToRollBackTo, NotPromotable, PromotionConflict, and ValueError for a missing reason.
    """
    _demand_reason(reason)
    now_there = ModelVersion.objects.in_production().light().first()
    number = now_there.number if now_there else None
    _refuse_another(expected, found=number)
    before = versions_before()
    if not before or now_there is None:
        raise NothingToRollBackTo(now_there)
    version, notes = _first_fit(before)
    fit = Rule("self_test", True, None, None, f"{str(version).capitalize()} is whole and answers as a model must.")
    verdict = Verdict(version.number, number, (*notes, fit))
    row = Promotion(kind=Promotion.Kind.ROLL_BACK, version=version, by=by, key=key, reason=reason.strip())
    return _put_in(row, verdict, now=now)


def _first_fit(versions: Sequence[ModelVersion]) -> tuple[ModelVersion, list[Rule]]:
    """The first version that can answer, and what to tell of those before it. Raises NotPromotable if there is none."""
    notes: list[Rule] = []
    for version in versions:
        try:
            _refuse_unfit(version)
        except NotPromotable as error:
            notes.append(Rule("passed_over", True, None, None, f"Passed over: {error}"))
        else:
            return version, notes
    why = " ".join(note.words for note in notes)
    raise NotPromotable(f"No version that was in production before can answer. {why} Train one: manage.py train.")


def versions_before() -> list[ModelVersion]:
    """The versions that roll-backs would put into production, one after the other.

    The promotions are read as a stack: a promotion lays its version on top, a roll-back takes away what is above its.
    """
    stack: list[int] = []
    for kind, version_id in Promotion.objects.order_by("pk").values_list("kind", "version_id"):
        if kind == Promotion.Kind.ROLL_BACK and version_id in stack[:-1]:
            del stack[len(stack) - 1 - stack[-2::-1].index(version_id) :]
        else:
            stack.append(version_id)
    rows = ModelVersion.objects.light().in_bulk(stack)
    return [rows[pk] for pk in stack[-2::-1]]


def _demand_reason(reason: str) -> None:
    if not reason.strip():
        raise ValueError("A promotion needs a reason, for those who ask later; it is empty. Write one sentence.")


def _refuse_another(expected: int | None, *, found: int | None) -> None:
    if expected is not None and expected != (found or NONE):
        believed = f"version {expected}" if expected else "nothing"
        there = f"version {found} is" if found else "nothing is"
        raise PromotionConflict(
            f"The caller believes {believed} to be in production; {there}. Look again, then decide anew."
        )


def _put_in(row: Promotion, verdict: Verdict, *, now: datetime | None) -> Promotion:
    """Archives what is in production, sets the row's version, and writes the row, all or nothing."""
    version = row.version
    row.verdict = verdict.as_dict()
    try:
        with transaction.atomic():
            row.replaced = _swap(version, verdict)
            row.created_at = now or timezone.now()  # under the lock: before, it may have been waited for, 20 s long
            row.save()
    except IntegrityError:  # nothing was in production, so nothing was locked, and another was first
        raise PromotionConflict(_conflict_words(version)) from None
    version.refresh_from_db()
    return row


def _refuse_unfit(version: ModelVersion) -> None:
    """Raises NotPromotable for what no force and no way back may bring before a ticket."""
    if version.is_demo:
        raise NotPromotable(f"{str(version).capitalize()} is made up for demonstration and never answers tickets.")
    try:
        rule = self_test(load(version))
    except DamagedModel as error:
        raise NotPromotable(f"{str(version).capitalize()} cannot answer: {error}") from error
    if not rule.passed:
        raise NotPromotable(f"{str(version).capitalize()} cannot answer as a model must: {rule.words} Train anew.")


def _swap(version: ModelVersion, verdict: Verdict) -> ModelVersion | None:
    """Locks both rows, archives the one in production, sets the new one; gives the one replaced."""
    rows = ModelVersion.objects.light().select_for_update().filter(Q(pk=version.pk) | Q(status=Status.PRODUCTION))
    locked = {row.pk: row for row in rows.order_by("pk")}
    if locked[version.pk].status == Status.PRODUCTION:
        raise PromotionConflict(f"{str(version).capitalize()} was promoted by somebody else a moment ago.")
    replaced = next((row for row in locked.values() if row.status == Status.PRODUCTION), None)
    # On Postgres, who waited for the lock finds its row no longer in production, and so a state that was not judged.
    if (replaced.number if replaced else None) != verdict.production:
        raise PromotionConflict(_conflict_words(version))
    if replaced is not None:
        ModelVersion.objects.filter(pk=replaced.pk).update(status=Status.ARCHIVED)
    ModelVersion.objects.filter(pk=version.pk).update(status=Status.PRODUCTION)
    return replaced


def _conflict_words(version: ModelVersion) -> str:
    now_there = ModelVersion.objects.in_production().values_list("number", flat=True).first()
    return (
        f"{str(version).capitalize()} was judged against another production than there is now"
        f"{f' (version {now_there})' if now_there else ''}: somebody promoted in between. Look again, then decide anew."
    )
