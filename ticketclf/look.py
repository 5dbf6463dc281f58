"""The look of the admin: its name, its symbol, its blue. Where its pages stand is mlops/admin/navigation.py."""

from typing import Any

UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "ticketclf",
    "SITE_HEADER": "ticketclf",
    "SITE_SUBHEADER": "Support tickets, classified",
    "SITE_SYMBOL": "confirmation_number",
    "SITE_FAVICONS": [
        {
            "rel": "icon",
            "type": "image/svg+xml",
            "href": "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 24 24'%3E"
            "%3Cpath fill='%23155dfc' d='M2 6h20v4a2 2 0 0 0 0 4v4H2v-4a2 2 0 0 0 0-4z'/%3E%3C/svg%3E",
        }
    ],
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    "COLORS": {
        "primary": {  # a calm blue: white on its 600 has a contrast of 5.2, above the 4.5 that small text needs
            "50": "oklch(97% .014 254.604)",
            "100": "oklch(93.2% .032 255.585)",
            "200": "oklch(88.2% .059 254.128)",
            "300": "oklch(80.9% .105 251.813)",
            "400": "oklch(70.7% .165 254.624)",
            "500": "oklch(62.3% .214 259.815)",
            "600": "oklch(54.6% .245 262.881)",
            "700": "oklch(48.8% .243 264.376)",
            "800": "oklch(42.4% .199 265.638)",
            "900": "oklch(37.9% .146 265.522)",
            "950": "oklch(28.2% .091 267.935)",
        }
    },
    "SIDEBAR": {"navigation": "mlops.admin.navigation.sidebar"},
    "TABS": "mlops.admin.navigation.tabs",
    "DASHBOARD_CALLBACK": "mlops.admin.navigation.front",
}
