"""The addresses of /api/ that belong to tickets and answers."""

from django.urls import path

from classifier.api import CategoriesView, FeedbackView, LabelView, LiveView, PredictView, TicketView

urlpatterns = [
    path("predict", PredictView.as_view(), name="predict"),
    path("predictions/<int:prediction_id>/feedback", FeedbackView.as_view(), name="feedback"),
    path("tickets/<int:ticket_id>", TicketView.as_view(), name="ticket"),
    path("tickets/<int:ticket_id>/label", LabelView.as_view(), name="label"),
    path("categories", CategoriesView.as_view(), name="categories"),
    path("health/live", LiveView.as_view(), name="health_live"),
]
