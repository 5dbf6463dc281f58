"""The categories of the shipped tickets, which a first start and made-up data need. The tickets are in data/raw."""

from __future__ import annotations

from classifier.models import Category

# What the shipped tickets are sorted into; data/README.md says more of each.
CATEGORIES = (
    ("billing", "Billing", "Charges, fees, refunds, invoices, payment methods and payments that failed."),
    ("technical", "Technical", "Something does not work: an app, a device, a page, a network; errors and set-up."),
    ("account", "Account", "Sign-up, sign-in, passwords, identity, personal details, access, closing."),
    ("shipping", "Shipping", "Where a parcel is, when and where it comes, loss or damage on the way."),
    ("general", "General", "Everything else: opening hours, what a product can do, praise, complaints, small talk."),
)


def make_categories() -> list[str]:
    """Makes those of the five that were never there, and gives their slugs; a retired one stays retired."""
    made = []
    for slug, name, description in CATEGORIES:
        category, is_new = Category.objects.get_or_create(
            slug=slug, defaults={"name": name, "description": description}
        )
        if is_new:
            made.append(category.slug)
    return made
