"""The OpenAPI schema: valid, without a doubt of its generator, and true of what is answered and refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client

from mlops import promotion
from tests.factories import make_key
from tests.mlops.making import label_tickets, make_trained, poor_fit

CALLER = ["401", "403"]  # of every address but the sign of life
BODY = ["400", "413", "415"]
REFUSED = {
    ("post", "/api/predict"): [*BODY, "409", "503"],
    ("get", "/api/categories"): [],
    ("get", "/api/health"): ["503"],
    ("get", "/api/tickets/{ticket_id}"): ["404"],
    ("put", "/api/tickets/{ticket_id}/label"): [*BODY, "404", "409"],
    ("post", "/api/predictions/{prediction_id}/feedback"): [*BODY, "404", "409"],
    ("get", "/api/runs"): ["400"],
    ("post", "/api/runs"): [*BODY, "409"],
    ("get", "/api/runs/{number}"): ["404"],
    ("get", "/api/versions"): ["400"],
    ("get", "/api/versions/{number}"): ["404"],
    ("get", "/api/versions/history"): ["400"],
    ("post", "/api/versions/{number}/promote"): [*BODY, "404", "409"],
    ("post", "/api/versions/roll-back"): [*BODY, "409"],
}


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> Any:
    file = tmp_path_factory.mktemp("schema") / "schema.json"
    call_command("spectacular", validate=True, fail_on_warn=True, format="openapi-json", file=str(file))
    return json.loads(file.read_text("utf-8"))


def test_schema_is_valid_and_names_every_refusal_of_every_address(schema):
    found = {
        (method, path): sorted(set(operation["responses"]) - {"200", "202"})
        for path, operations in schema["paths"].items()
        for method, operation in operations.items()
    }

    assert found.pop(("get", "/api/health/live")) == []
    assert found.pop(("get", "/api/health/ready")) == ["503"]
    assert found == {address: sorted([*CALLER, *statuses]) for address, statuses in REFUSED.items()}


def test_schema_has_one_shape_for_all_refusals(schema):
    contents = [
        (list(response["content"]), next(iter(response["content"].values()))["schema"])
        for operations in schema["paths"].values()
        for operation in operations.values()
        for status, response in operation["responses"].items()
        if status >= "400"
    ]

    assert contents
    assert all(
        content == (["application/problem+json"], {"$ref": "#/components/schemas/Problem"}) for content in contents
    )


@pytest.mark.django_db
@pytest.mark.usefixtures("home")
def test_schema_has_the_fields_that_runs_and_versions_are_told_with(schema):
    label_tickets()
    promotion.promote(make_trained(poor_fit().model), reason="First.", force=True)
    promoted = promotion.promote(make_trained(), reason="Better.")
    client = Client(headers={"authorization": f"Api-Key {make_key('read')[1]}"})

    def told(path: str) -> Any:
        return client.get(f"/api/{path}").json()

    at = promoted.created_at.isoformat().replace("+00:00", "Z")
    answers = {
        "Run": told(f"runs/{promoted.version.run.pk}"),
        "Runs": told("runs"),
        "RunInShort": told("runs")["results"][0],
        "Version": told("versions/2"),
        "VersionInShort": told("versions")["results"][0],
        "PromotionList": told("versions/history"),
        "PromotionInHistory": told("versions/history")["results"][0],
        "PromotionInForce": told(f"versions/history?at={at}"),
        "NothingInForce": told("versions/history?at=2000-01-01"),
    }
    assert {name: set(schema["components"]["schemas"][name]["properties"]) for name in answers} == {
        name: set(answer) for name, answer in answers.items()
    }
