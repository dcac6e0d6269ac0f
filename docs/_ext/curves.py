"""Training curves of recorded runs, as small pictures in the colours of the page.

The drawings hold numbers and no words: what a curve is stands above it as a text of the page, and
so in the catalogues of the translators.
"""

import json
import math
from pathlib import Path
from statistics import median

WIDTH, HEIGHT = 240, 150
LEFT, RIGHT, TOP, BOTTOM = 40, 8, 14, 24
FAR = 10
MAIN = {"train": "var(--co-orange)", "validation": "var(--co-blue)"}
NAMES = {"nats": "−log p by the solver, nats"}  # of columns that do not say what they are
MORE = ("var(--co-green)", "var(--co-pink)", "var(--co-sky)")


def read(path: Path) -> dict:
    """A record of runs, the healthy one first."""
    record = json.loads(path.read_text(encoding="utf-8"))
    record["runs"].sort(key=lambda run: run["name"] != "healthy")
    return record


def panels(record: dict) -> list[tuple[dict, list[tuple[str, str]]]]:
    """Every run with its pictures and what each of them shows: training and validation, and each
    further column.
    """
    runs, unit = record["runs"], record["unit"]
    further = [c for run in runs for c in run["columns"] if c not in ("step", *MAIN)]
    groups = [(list(MAIN), f"loss, {unit}")] + [
        ([c], NAMES.get(c, c.replace("_", " "))) for c in dict.fromkeys(further)
    ]
    found = []
    for run in runs:
        pictures = []
        for names, label in groups:
            if not any(name in run["columns"] for name in names):
                continue
            low, high = span(runs, names)
            pictures.append((label, picture(run, names, low, high)))
        found.append((run, pictures))
    return found


def finite(values) -> list[float]:
    return [v for v in values if v is not None and math.isfinite(v)]


def span(runs: list[dict], names: list[str]) -> tuple[float, float]:
    """The axis that all runs share: what the healthy run needs, as much again at each end, and
    `FAR` times as much if another run would otherwise be out of sight. A curve that goes further is
    cut off there.
    """
    values = [finite(v for name in names for v in run["columns"].get(name, [])) for run in runs]
    first, *others = [run for run in values if run] or [[0.0, 1.0]]
    low, high = min(first), max(first)
    room = high - low or abs(high) or 1.0
    middles = [median(run) for run in others]
    least = max(min([low - room, *middles]), low - FAR * room)
    greatest = min(max([high + room, *middles]), high + FAR * room)
    rest = [v for run in values for v in run] or [low, high]
    return max(min(rest), least), min(max(rest), greatest)


def ticks(low: float, high: float, n: int = 4) -> list[float]:
    """Round numbers between the ends."""
    raw = (high - low) / n or 1.0
    power = 10 ** math.floor(math.log10(raw))
    step = next(m for m in (1, 2, 2.5, 5, 10) if m * power >= raw) * power
    return [
        k * step for k in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)
    ]


def shown(value: float) -> str:
    return f"{value:g}".replace("-", "\N{MINUS SIGN}")


def picture(run: dict, names: list[str], low: float, high: float) -> str:
    """One pair of axes with the named columns against the step."""
    pad = (high - low or 1.0) * 0.06
    low, high = low - pad, high + pad
    steps = run["columns"]["step"]
    last = max(steps) or 1

    def x(step: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * step / last

    def y(value: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (high - value) / (high - low)

    parts = []
    for tick in ticks(low, high):
        parts.append(f'<path class="grid" d="M{LEFT} {y(tick):.1f}H{WIDTH - RIGHT}"/>')
        parts.append(
            f'<text x="{LEFT - 4}" y="{y(tick) + 3:.1f}" text-anchor="end">{shown(tick)}</text>'
        )
    for tick in ticks(0, last, 3):
        anchor = "end" if x(tick) > WIDTH - 24 else "middle"
        at = f'x="{x(tick):.1f}" y="{HEIGHT - 12}"'
        parts.append(f'<text {at} text-anchor="{anchor}">{shown(tick)}</text>')
    drawn, curves = [], []
    for i, name in enumerate(names):
        if name not in run["columns"]:
            continue
        colour = MAIN.get(name, MORE[i % len(MORE)])
        dash = ' stroke-dasharray="5 3"' if name == "train" else ""
        for line in lines(steps, run["columns"][name]):
            points = " ".join(f"{x(s):.1f},{y(v):.1f}" for s, v in line)
            curves.append(f'<polyline points="{points}" stroke="{colour}"{dash}/>')
        drawn.append(name)
    parts.append(window("".join(curves)))
    values = finite(v for name in drawn for v in run["columns"][name])
    parts += beyond(min(values, default=low), max(values, default=high), low, high)
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" aria-hidden="true">{"".join(parts)}</svg>'


def window(curves: str) -> str:
    """The curves, cut off where they leave the axes."""
    width, height = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    frame = f'x="{LEFT}" y="{TOP}" width="{width}" height="{height}"'
    return f'<svg {frame} viewBox="{LEFT} {TOP} {width} {height}">{curves}</svg>'


def beyond(least: float, greatest: float, low: float, high: float) -> list[str]:
    """How far curves go that leave the axes."""
    marks = []
    if greatest > high:
        place = f'x="{WIDTH - RIGHT}" y="{TOP - 4}" text-anchor="end"'
        marks.append((place, f"\N{UPWARDS ARROW} {shown(rounded(greatest))}"))
    if least < low:
        place = f'x="{LEFT}" y="{HEIGHT - 1}"'
        marks.append((place, f"\N{DOWNWARDS ARROW} {shown(rounded(least))}"))
    return [f"<text {place}>{text}</text>" for place, text in marks]


def rounded(value: float) -> float:
    """To two significant figures."""
    return float(f"{value:.2g}")


def lines(steps, values) -> list[list[tuple[float, float]]]:
    """A curve in pieces, broken where it has no value."""
    pieces, piece = [], []
    for step, value in zip(steps, values, strict=True):
        if value is None or not math.isfinite(value):
            pieces, piece = [*pieces, piece], []
        else:
            piece.append((step, value))
    return [piece for piece in [*pieces, piece] if piece]
