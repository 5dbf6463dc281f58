"""The addresses of /api/ that belong to tickets and answers."""

from django.urls import path

from classifier.api import CategoriesView, LiveView, PredictView

urlpatterns = [
    path("predict", PredictView.as_view(), name="predict"),
    path("categories", CategoriesView.as_view(), name="categories"),
    path("health/live", LiveView.as_view(), name="health_live"),
]
