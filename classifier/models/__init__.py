"""The rows of `classifier`, by what they are about: tickets, model versions, and who may ask."""

from classifier.models.access import ApiKey, ApiRequest, IdempotentAnswer, RefusalMinute, Scope, User, doer
from classifier.models.tickets import Category, Label, Prediction, Split, Ticket, TicketBand
from classifier.models.versions import ModelArtifact, ModelVersion

__all__ = [
    "ApiKey",
    "ApiRequest",
    "Category",
    "IdempotentAnswer",
    "Label",
    "ModelArtifact",
    "ModelVersion",
    "Prediction",
    "RefusalMinute",
    "Scope",
    "Split",
    "Ticket",
    "TicketBand",
    "User",
    "doer",
]
