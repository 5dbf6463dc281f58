"""The doors of /api/ on this side: predict, labels, categories, and the sign of life."""

from classifier.api.labels import FeedbackView, LabelView, TicketView
from classifier.api.predict import PredictView
from classifier.api.reading import CategoriesView, LiveView

__all__ = ["CategoriesView", "FeedbackView", "LabelView", "LiveView", "PredictView", "TicketView"]
