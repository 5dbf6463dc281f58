"""The admin's page of a drift snapshot."""

from __future__ import annotations

from typing import Any

import pytest
from django.urls import reverse

from tests import factories
from tests.mlops.making import NOW
from tests.mlops.test_watching_rows import make_snapshot

pytestmark = pytest.mark.django_db


def test_snapshot_page_says_since_when_its_window_reaches_without_showing_markup(client: Any) -> None:
    client.force_login(factories.make_user("root", is_superuser=True))
    row = make_snapshot(window_from=NOW, window_to=NOW)

    page = client.get(reverse("admin:mlops_driftsnapshot_change", args=[row.pk])).content.decode()

    assert "from <time" in page
    assert "&lt;time" not in page


def test_snapshot_page_says_what_a_signal_means_next_to_its_name(client: Any) -> None:
    client.force_login(factories.make_user("root", is_superuser=True))
    signal = {"name": "confidence", "value": 0.05, "threshold": 0.02, "drifted": True, "since": None}
    row = make_snapshot(verdict="drifted", severity="clear", signals=[{**signal, "words": "The model is less sure."}])

    page = client.get(reverse("admin:mlops_driftsnapshot_change", args=[row.pk])).content.decode()

    assert page.index("What it says") < page.index("Threshold")
    assert page.index("Confidence, fall") < page.index("The model is less sure.") < page.index("0.05")
