"""The rows of `classifier`, by what they are about: tickets, model versions, and who may ask."""

from classifier.models.access import ApiKey, ApiRequest, IdempotentAnswer, RefusalMinute, Scope, User, doer
from classifier.models.queue import Claim, LinedUp, Waiting
from classifier.models.rollups import AnswerRollup, Grain, RequestRollup, RolledUp
from classifier.models.tickets import Category, Label, Prediction, Split, Ticket, TicketBand
from classifier.models.versions import ModelArtifact, ModelVersion

__all__ = [
    "AnswerRollup",
    "ApiKey",
    "ApiRequest",
    "Category",
    "Claim",
    "Grain",
    "IdempotentAnswer",
    "Label",
    "LinedUp",
    "ModelArtifact",
    "ModelVersion",
    "Prediction",
    "RefusalMinute",
    "RequestRollup",
    "RolledUp",
    "Scope",
    "Split",
    "Ticket",
    "TicketBand",
    "User",
    "Waiting",
    "doer",
]
