"""Rows of a scorecard, made for tests of tables and charts."""

from genzoo.benchmark.row import Row
from genzoo.evaluation.figures import Figure
from genzoo.evaluation.results import Cost, HeldOutLikelihood
from genzoo.model import Likelihood


def figure(kind: str, value: float | None, stderr: float | None = 0.01, **more) -> Figure:
    """A likelihood of the claim ``kind``, "exact" say."""
    return Figure(value, stderr, kind=Likelihood[kind.upper()], **more)


def likelihood(found: Figure, unit: str = "bits/dim", **more) -> HeldOutLikelihood:
    """A part of a row, of images of 16 features."""
    return HeldOutLikelihood(found, found.scaled(11.0), unit, **more)


def cost(**more) -> Cost:
    """The cost of a model, of which any entry may be another."""
    known = {"parameters": 1_500_000, "train_seconds": 150.0, "steps": 100}
    return Cost(**{**known, **more})


def row(family: str, kind: str = "bound", value: float | None = 1.5, **more) -> Row:
    """A row of coins with the likelihood given."""
    known = {"data": "coins", "likelihood": likelihood(figure(kind, value)), "cost": cost()}
    return Row(family=family, **{**known, **more})
