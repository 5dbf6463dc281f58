"""The mathematics of ticketclf: pure Python, numpy and scikit-learn. Nothing of Django, no clock, no database.

This file imports nothing, so that a process which only serves does not pay for what only training needs.
"""
