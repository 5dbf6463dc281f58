"""Wiring: settings, addresses, the Celery application. No rule of the business lives here."""
