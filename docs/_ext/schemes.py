"""Schemes drawn by code, in the colours of the page."""

SCHEMES = {}


def draw(name: str, alt: str, root: str) -> str:
    return SCHEMES[name](alt, root)
