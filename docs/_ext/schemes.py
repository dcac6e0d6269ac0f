"""Schemes of the families, drawn by code in the colours of the page, so that they are as readable
on a dark page as on a light one and on paper.

Blue is data, orange the model's own, green the latent or the noise. A scheme is 720 units wide.
"""

import html
import math
import random
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

BLUE, ORANGE, GREEN, PINK = (
    "var(--co-blue)",
    "var(--co-orange)",
    "var(--co-green)",
    "var(--co-pink)",
)
INK, FAINT = "currentColor", "var(--color-foreground-muted, gray)"
SCHEMES: dict[str, Callable[["Canvas", str], None]] = {}
Point = tuple[float, float]


def draw(name: str, alt: str, root: str = "", words: Mapping[str, str] | None = None) -> str:
    """The scheme as SVG.

    Args:
        name: of the scheme.
        alt: what it shows.
        root: leads from the page to the top of the site.
        words: what to write in place of its texts (see `texts`), in another language.
    """
    canvas = Canvas(words)
    SCHEMES[name](canvas, root)
    role = "group" if "<a " in "".join(canvas.parts) else "img"  # links in an image are not reached
    label = html.escape(alt)
    view = f"0 {canvas.top:g} 720 {canvas.height - canvas.top:g}"
    return (
        f'<svg viewBox="{view}" role="{role}" aria-label="{label}" '
        f'font-size="14">{"".join(canvas.parts)}</svg>'
    )


def texts(name: str) -> list[str]:
    """What is written in a scheme and holds a word, each text once, its lines joined by a space.

    A formula is the same in every language.
    """
    canvas = Canvas()
    SCHEMES[name](canvas, "")
    return [text for text in dict.fromkeys(canvas.written) if holds_a_word(text)]


def holds_a_word(text: str) -> bool:
    formulas = re.compile(r"\*[^*]*\*|[_^]\{[^}]*\}|[_^].")
    return re.search(r"[^\W\d_]{2,}", formulas.sub(" ", text)) is not None


def scheme(function: Callable[["Canvas", str], None]):
    SCHEMES[function.__name__] = function
    return function


class Canvas:
    """SVG elements, one after the other."""

    def __init__(self, words: Mapping[str, str] | None = None):
        self.parts: list[str] = []
        self.written: list[str] = []
        self.words = words or {}
        self.top, self.height = 0.0, 240.0

    def add(self, tag: str, text: str = "", **attributes: Any):
        pairs = []
        for name, value in attributes.items():
            value = f"{value:.4g}" if isinstance(value, float) else value
            pairs.append(f' {name.rstrip("_").replace("_", "-")}="{value}"')
        self.parts.append(f"<{tag}{''.join(pairs)}>{text}</{tag}>")

    def text(self, x: float, y: float, text: str, colour=INK, size: float = 14, **options: Any):
        """Text around (x, y); ``*x*`` is slanted, ``_1`` or ``_{ab}`` low, ``^2`` high."""
        more = {"text_anchor": "middle", **options}
        style = f"fill:{colour}" if colour != INK else None
        more |= {"style": style} if style else {}
        for i, line in enumerate(self.said(text)):
            self.add("text", rich(line), x=x, y=y + 17 * i + size * 0.35, font_size=size, **more)

    def said(self, text: str) -> list[str]:
        """The lines of a text, in the language of the page.

        A translation is broken at its spaces into as many lines, about equally long.
        """
        lines = text.split("\n")
        whole = " ".join(lines)
        self.written.append(whole)
        translated = self.words.get(whole, whole)
        if translated == whole:
            return lines
        return textwrap.wrap(translated, -(-len(translated) // len(lines)) + 3)

    def box(self, x, y, w, h, text="", colour=INK, fill=0.10, size: float = 14, radius=7):
        """A box around (x, y)."""
        at = {"x": x - w / 2, "y": y - h / 2, "width": w, "height": h, "rx": radius}
        self.add("rect", fill=colour, fill_opacity=fill, stroke=colour, stroke_width=1.5, **at)
        lines = text.count("\n")
        self.text(x, y - 8.5 * lines, text, size=size)

    def net(self, x, y, w, h, text, colour=ORANGE, narrow="right", slope=0.28):
        """A network that narrows to one side (an encoder, a decoder), or to none."""
        a, b = h / 2, h / 2 * (1 - slope)
        left, right = (a, b) if narrow == "right" else (b, a) if narrow == "left" else (a, a)
        corners = [
            (x - w / 2, y - left), (x + w / 2, y - right),
            (x + w / 2, y + right), (x - w / 2, y + left),
        ]  # fmt: skip
        self.polygon(corners, colour)
        self.text(x, y - 8.5 * text.count("\n"), text)

    def polygon(self, corners: Sequence[Point], colour: str, fill: float = 0.13):
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in corners)
        self.add(
            "polygon", points=points, fill=colour, fill_opacity=fill, stroke=colour,
            stroke_width=1.5, stroke_linejoin="round",
        )  # fmt: skip

    def circle(self, x, y, r, text="", colour=INK, fill=0.0, size=14):
        self.add(
            "circle", cx=x, cy=y, r=r, fill=colour, fill_opacity=fill, stroke=colour,
            stroke_width=1.5,
        )  # fmt: skip
        if text:
            self.text(x, y, text, size=size)

    def dots(self, points: Sequence[Point], colour: str, r: float = 1.8, opacity: float = 0.75):
        for x, y in points:
            self.add("circle", cx=x, cy=y, r=r, fill=colour, fill_opacity=opacity)

    def line(self, *points: Point, colour=INK, width=1.5, dash="", opacity=1.0, head=False):
        """A line through the points, with an arrow's head at its end if asked for."""
        points_ = list(points)
        if head:
            (x0, y0), (x1, y1) = points_[-2:]
            self.head(x0, y0, x1, y1, colour, opacity)
            length = math.hypot(x1 - x0, y1 - y0) or 1
            points_[-1] = (x1 - 6 * (x1 - x0) / length, y1 - 6 * (y1 - y0) / length)
        d = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points_)
        self.path(d, colour, width, dash, opacity)

    def arrow(self, *points: Point, **more):
        self.line(*points, head=True, **more)

    def curve(self, a: Point, b: Point, bend: float, colour=INK, width=1.5, dash="", head=True):
        """An arc from a to b that leaves the straight line by ``bend`` to its left."""
        (x0, y0), (x1, y1) = a, b
        length = math.hypot(x1 - x0, y1 - y0)
        nx, ny = (y1 - y0) / length, -(x1 - x0) / length
        cx, cy = (x0 + x1) / 2 + 2 * bend * nx, (y0 + y1) / 2 + 2 * bend * ny
        if head:
            self.head(cx, cy, x1, y1, colour)
            far = math.hypot(x1 - cx, y1 - cy)
            x1, y1 = x1 - 6 * (x1 - cx) / far, y1 - 6 * (y1 - cy) / far
        self.path(f"M{x0:.1f} {y0:.1f}Q{cx:.1f} {cy:.1f} {x1:.1f} {y1:.1f}", colour, width, dash)

    def path(self, d: str, colour=INK, width=1.5, dash="", opacity=1.0):
        more: dict[str, Any] = {"stroke_dasharray": dash} if dash else {}
        more |= {"stroke_opacity": opacity} if opacity < 1 else {}
        self.add("path", d=d, fill="none", stroke=colour, stroke_width=width, **more)

    def head(self, x0, y0, x1, y1, colour=INK, opacity=1.0):
        angle = math.atan2(y1 - y0, x1 - x0)
        corners = [(x1, y1)]
        for turn in (2.72, -2.72):
            corners.append((x1 + 9 * math.cos(angle + turn), y1 + 9 * math.sin(angle + turn)))
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in corners)
        self.add("polygon", points=points, fill=colour, fill_opacity=opacity)


def rich(text: str) -> str:
    """``*x*`` slanted, ``_1`` and ``_{ab}`` low, ``^2`` and ``^{ab}`` high."""
    pieces, slanted, shift = [], False, 0.0
    for token in re.findall(r"\*|[_^]\{[^}]*\}|[_^].|[^*_^]+", text):
        if token == "*":
            slanted = not slanted
            continue
        low = {"_": 3.5, "^": -5.0}.get(token[0], 0.0)
        words = token[1:].strip("{}") if low else token
        style = ' font-style="italic"' if slanted else ""
        size = ' font-size="10"' if low else ""
        move = f' dy="{low - shift:g}"' if low != shift else ""
        shift = low
        pieces.append(f"<tspan{move}{size}{style}>{html.escape(words)}</tspan>")
    return "".join(pieces)


def moons(n: int, noise: float, seed: int = 1) -> list[Point]:
    """Two half circles that reach into each other, each coordinate about -1.5 to 1.5."""
    rng = random.Random(seed)
    found = []
    for i in range(n):
        t = math.pi * rng.random()
        x, y = (math.cos(t), math.sin(t)) if i % 2 else (1 - math.cos(t), 0.5 - math.sin(t))
        found.append((x - 0.5 + rng.gauss(0, noise), y - 0.25 + rng.gauss(0, noise)))
    return found


def cloud(n: int, seed: int = 2) -> list[Point]:
    rng = random.Random(seed)
    return [(rng.gauss(0, 1), rng.gauss(0, 1)) for _ in range(n)]


def placed(points: Sequence[Point], x: float, y: float, scale: float) -> list[Point]:
    return [(x + scale * a, y - scale * b) for a, b in points]


# ---------------------------------------------------------------------------------------- families


@scheme
def autoregressive(c: Canvas, root: str):
    """Masked layers over a line of features, and the order of the pixels of an image."""
    c.height = 320
    columns = [60 + 66 * i for i in range(6)]
    rows = [270, 200, 130, 62]  # features, two hidden layers, distributions
    seen = {3: {4}, 2: {4}, 1: {3, 4}, 0: {1, 2, 3}}  # on the way to the fifth feature's

    def reads(row: int, i: int) -> list[int]:
        """Who a node listens to: the first layer to places before its own, the others to it too."""
        places = [i - 2, i - 1] if row == 1 else [i - 1, i] if row == 2 else [i]
        return [j for j in places if j >= 0]

    for lit in (False, True):
        for row in (1, 2, 3):
            for i in range(6):
                for j in reads(row, i):
                    on = i in seen[row] and j in seen[row - 1]
                    if on == lit:
                        a, b = (columns[j], rows[row - 1] - 15), (columns[i], rows[row] + 16)
                        ink, weight = (ORANGE, 2.0) if on else (FAINT, 1.0)
                        c.line(a, b, colour=ink, width=weight, opacity=1.0 if on else 0.45)
    for i, x in enumerate(columns):
        on = i in seen[0]
        c.circle(x, rows[0], 15, f"*x*_{i + 1}", BLUE, 0.3 if on else 0.06)
        for row in (1, 2):
            on = i in seen[row]
            c.circle(x, rows[row], 11, "", ORANGE if on else FAINT, 0.3 if on else 0.05)
        on = i == 4
        c.box(x, rows[3], 50, 30, f"*p*(*x*_{i + 1})" if not i else f"*p*(*x*_{i + 1}| · )",
              ORANGE if on else FAINT, 0.22 if on else 0.05, size=11.5)  # fmt: skip
    c.text(225, 22, "each output sees only features before its own", FAINT, 13)
    c.text(225, 306, "one pass gives all conditionals of a whole observation", FAINT, 13)
    size, x0, y0 = 27, 508, 70
    for i in range(6):
        for j in range(6):
            k, here = 6 * i + j, 6 * 3 + 2
            near = k < here and abs(j - 2) <= 1 and 3 - i <= 2
            ink = BLUE if k < here else ORANGE if k == here else FAINT
            fill = 0.5 if near else 0.16 if k < here else 0.85 if k == here else 0.0
            c.add("rect", x=x0 + size * j, y=y0 + size * i, width=size - 3, height=size - 3, rx=3,
                  fill=ink, fill_opacity=fill, stroke=ink, stroke_opacity=0.5)  # fmt: skip
    c.arrow((x0, y0 - 12), (x0 + 6 * size - 4, y0 - 12), colour=FAINT)
    c.text(x0 + 3 * size, 22, "on images: row by row", FAINT, 13)
    c.text(x0 + 3 * size, y0 + 6 * size + 17, "dark: what the mask lets", FAINT, 13)
    c.text(x0 + 3 * size, y0 + 6 * size + 35, "the next pixel look at", FAINT, 13)


@scheme
def flow(c: Canvas, root: str):
    """Two couplings between data and noise."""
    c.top, c.height = 34, 302
    top, low = 96, 190
    c.dots(placed(moons(130, 0.07), 66, 142, 30), BLUE)
    c.text(66, 218, "data *x*", BLUE)
    c.dots(placed(cloud(130), 654, 142, 17), GREEN)
    c.text(654, 218, "noise *z*", GREEN)
    for x0, keep, move in ((150, top, low), (375, low, top)):
        first = x0 == 150
        c.box(x0 + 97, 143, 195, 158, "", FAINT, 0.03)
        kept, moved = ("*a*", "*b*") if first else ("*b*", "*a*")
        c.line((x0 - 14, keep), (x0 + 211, keep), colour=INK)
        c.line((x0 - 14, move), (x0 + 118, move), colour=INK)
        c.line((x0 + 152, move), (x0 + 211, move), colour=INK)
        mid = (keep + move) / 2
        tap = 1 if move > keep else -1
        c.arrow((x0 + 55, keep), (x0 + 55, mid), (x0 + 73, mid), colour=ORANGE)
        c.box(x0 + 110, mid, 74, 30, "network", ORANGE, 0.14, size=13)
        c.arrow((x0 + 135, mid + 15 * tap), (x0 + 135, move - 17 * tap), colour=ORANGE)
        c.circle(x0 + 135, move, 17, "", ORANGE, 0.16)
        c.path(f"M{x0 + 125} {move + 8}C{x0 + 134} {move + 7} {x0 + 134} {move - 7} "
               f"{x0 + 145} {move - 8}", ORANGE, 2)  # fmt: skip
        c.text(x0 + 28, keep - 11, f"{kept} stays", size=12)
        c.text(x0 + 28, move - 11, f"{moved} moves", size=12)
        c.text(x0 + 97, 50, "coupling 1" if first else "coupling 2: roles change", FAINT, 13)
    c.line((108, 142), (125, 142), (125, top), (140, top))
    c.line((125, 142), (125, low), (140, low))
    c.line((586, top), (594, top), (594, 142))
    c.arrow((586, low), (594, low), (594, 142), (612, 142))
    c.arrow((120, 252), (600, 252), colour=BLUE)
    c.text(360, 239, "density: forwards, add the log of every slope", BLUE, 13)
    c.arrow((600, 280), (120, 280), colour=GREEN)
    c.text(360, 293, "sampling: backwards, *a* is still there, so each coupling can be undone",
           GREEN, 13)  # fmt: skip


@scheme
def vae(c: Canvas, root: str):
    """Encoder, draw of the latent, decoder and the prior."""
    c.height = 272
    y = 120
    c.circle(40, y, 22, "*x*", BLUE, 0.15, 16)
    c.arrow((64, y), (94, y))
    c.net(148, y, 104, 110, "encoder\n*q*(*z* | *x*)", BLUE, "right")
    c.arrow((202, y - 25), (238, y - 25))
    c.arrow((202, y + 25), (238, y + 25))
    c.box(260, y - 25, 40, 32, "*μ*", BLUE, 0.12)
    c.box(260, y + 25, 40, 32, "*s*", BLUE, 0.12)
    c.arrow((282, y - 25), (372, y - 10))
    c.arrow((282, y + 25), (372, y + 10))
    c.circle(396, y, 24, "*z*", GREEN, 0.2, 17)
    c.text(325, y, "*z* = *μ* + *s* · *ε*", size=12.5, colour=INK)
    c.box(320, y + 96, 116, 30, "noise *ε* ~ *N*(0, 1)", GREEN, 0.12, size=12.5)
    c.arrow((360, y + 80), (387, y + 25), colour=GREEN)
    c.box(396, 28, 132, 30, "prior *p*(*z*) = *N*(0, 1)", GREEN, 0.12, size=12.5)
    c.line((396, 45), (396, y - 26), colour=GREEN, dash="4 4")
    c.arrow((421, y), (446, y))
    c.net(499, y, 104, 110, "decoder\n*p*(*x* | *z*)", ORANGE, "left")
    c.arrow((552, y), (582, y))
    c.box(632, y, 96, 54, "distribution\nover *x*", ORANGE, 0.12, size=13)
    c.path(f"M40 {y + 24}V262H632V{y + 30}", BLUE, 1.3, "4 4")
    c.text(508, 250, "reconstruction: log *p*(*x* | *z*)", INK, 13)
    c.text(588, 28, "divergence: how far *q* is from the prior", INK, 13)
    c.text(148, 28, "gradients pass through *μ* and *s*;", FAINT, 12.5)
    c.text(148, 45, "the noise needs none", FAINT, 12.5)


@scheme
def energy(c: Canvas, root: str):
    """The energy's network between data and a buffer of chains that Langevin steps move."""
    c.top, c.height = 26, 330
    c.dots(placed(moons(110, 0.07), 80, 76, 32), BLUE)
    c.text(80, 132, "data *x*^+", BLUE)
    c.arrow((138, 76), (404, 76), colour=BLUE)
    c.text(270, 62, "push the energy down here", BLUE, 13)
    c.box(470, 142, 128, 190, "", ORANGE, 0.07)
    c.text(470, 118, "network", INK, 15)
    c.text(470, 142, "*E*(*x*)", INK, 17)
    c.text(470, 170, "one number for\nevery *x*", FAINT, 12.5)
    c.arrow((536, 142), (580, 142))
    c.text(650, 115, "loss", INK, 14)
    c.text(650, 142, "mean *E*(*x*^+)", BLUE, 14)
    c.text(650, 164, "− mean *E*(*x*^−)", ORANGE, 14)
    c.box(80, 250, 128, 118, "", GREEN, 0.07)
    c.dots(placed(moons(60, 0.22, 4), 80, 243, 28), ORANGE)
    c.dots(placed(cloud(14, 8), 80, 243, 14), GREEN)
    c.text(80, 299, "buffer of chains", INK, 13)
    c.curve((146, 226), (200, 226), 10, ORANGE)
    c.box(262, 245, 120, 66, "Langevin\na few steps", ORANGE, 0.14)
    c.curve((200, 266), (146, 266), 10, ORANGE)
    c.arrow((324, 245), (360, 245), (360, 208), (404, 208), colour=ORANGE)
    c.text(270, 196, "samples *x*^−: push it up here", ORANGE, 13)
    c.text(420, 290, "each step: *x* ← *x* − ½ *h*^2 ∇*E*(*x*) + *h* *ε*", INK, 13.5)
    c.text(420, 312, "downhill, and a little noise; now and then a chain starts anew", FAINT, 13)
    c.path("M470 238V262H326", INK, 1.2, "4 4")
    c.head(360, 262, 324, 262)
    c.text(520, 256, "slope ∇*E*", INK, 13)


@scheme
def diffusion(c: Canvas, root: str):
    """Noise levels of the forward process, and the denoiser that walks back."""
    c.height = 350
    data, noise = moons(150, 0.05), cloud(150, 5)
    levels = (6.0, 2.5, 0.0, -2.5, -6.0)
    centres = [72 + 144 * i for i in range(5)]
    for x, level in zip(centres, levels, strict=True):
        a = math.sqrt(1 / (1 + math.exp(-level)))
        s = math.sqrt(1 - a * a)
        mixed = [(a * p[0] * 1.25 + s * q[0], a * p[1] * 1.25 + s * q[1])
                 for p, q in zip(data, noise, strict=True)]  # fmt: skip
        inside = [p for p in mixed if max(map(abs, p)) < 2.6]
        share = 1 / (1 + math.exp(-level))
        mix = f"color-mix(in srgb, {BLUE} {100 * share:.0f}%, {GREEN})"
        c.add("rect", x=x - 56, y=64, width=112, height=112, rx=8, fill="none", stroke=FAINT,
              stroke_opacity=0.5)  # fmt: skip
        for p in placed(inside, x, 120, 21):
            c.add("circle", cx=p[0], cy=p[1], r=1.8, style=f"fill:{mix}", fill_opacity=0.75)
        c.text(x, 192, f"*λ* = {level:g}".replace("-", "−"), FAINT, 13)
    for x0, x1 in pairwise(centres):
        c.curve((x0 + 30, 60), (x1 - 30, 60), 10, GREEN)
        c.curve((x1 - 30, 206), (x0 + 30, 206), 10, ORANGE)
    c.text(360, 22, "forward, fixed: *x*_λ = *α* *x* + *σ* *ε*, ever less signal", GREEN, 13.5)
    c.text(72, 47, "data *x*", BLUE, 13)
    c.text(648, 47, "noise", GREEN, 13)
    c.text(360, 242, "backward, learned: from noise to data, step by step", ORANGE, 13.5)
    y = 302
    c.circle(150, y - 22, 20, "*x*_λ", GREEN, 0.15)
    c.circle(150, y + 25, 15, "*λ*", INK, 0.05)
    c.arrow((171, y - 19), (258, y - 6))
    c.arrow((166, y + 22), (258, y + 8))
    c.box(318, y, 118, 54, "denoiser\n(a network)", ORANGE, 0.15)
    c.arrow((378, y), (414, y))
    c.circle(436, y, 20, "*v̂*", ORANGE, 0.15)
    c.arrow((458, y), (492, y))
    c.box(584, y, 182, 54, "denoised\n*x̂* = *α* *x*_λ − *σ* *v̂*", BLUE, 0.12, size=13.5)
    c.text(80, y, "one step:", FAINT, 13)


@scheme
def gan(c: Canvas, root: str):
    """Generator and critic, and who learns from what."""
    c.top, c.height = -8, 312
    c.circle(44, 78, 22, "*z*", GREEN, 0.18, 16)
    c.text(44, 114, "noise", GREEN, 13)
    c.arrow((68, 78), (104, 78))
    c.net(160, 78, 108, 84, "generator\n*G*", ORANGE, "left")
    c.arrow((216, 78), (252, 78))
    c.box(312, 78, 118, 96, "", ORANGE, 0.05)
    c.dots(placed(moons(80, 0.2, 3), 312, 72, 28), ORANGE)
    c.text(312, 116, "samples *G*(*z*)", ORANGE, 13)
    c.box(312, 212, 118, 96, "", BLUE, 0.05)
    c.dots(placed(moons(80, 0.07), 312, 206, 28), BLUE)
    c.text(312, 250, "data *x*", BLUE, 13)
    c.arrow((373, 84), (432, 128))
    c.arrow((373, 206), (432, 162))
    c.net(486, 145, 104, 96, "critic\n*D*", PINK, "right")
    c.arrow((540, 145), (574, 145))
    c.box(640, 145, 130, 62, "score: positive\nmeans “data”", PINK, 0.1, size=13)
    c.path("M640 178V268H486V196", PINK, 1.8, "5 4")
    c.head(486, 230, 486, 194, PINK)
    c.text(560, 285, "turn 1: the critic learns", PINK, 13)
    c.text(560, 302, "data up, samples down", FAINT, 12.5)
    c.path("M640 112V20H160V36", ORANGE, 1.8, "5 4")
    c.head(160, 22, 160, 36, ORANGE)
    c.text(400, 7, "turn 2: the generator learns, through the critic", ORANGE, 13)
    c.text(150, 180, "It never sees the data.", FAINT, 13)
    c.text(150, 198, "All it gets is the critic’s slope.", FAINT, 13)


@scheme
def flow_matching(c: Canvas, root: str):
    """Straight lines that cross, and the flow of their mean velocity, which does not."""
    c.height = 320
    data = [1.0, 1.15, 0.85, -1.0, -1.15, -0.85]
    rng = random.Random(3)

    def velocity(x: float, t: float) -> float:
        """E[x_1 - x_0 | x_t = x] for noise N(0, 1) and equally likely data."""
        logs = [-((x - t * one) ** 2) / (2 * (1 - t) ** 2) for one in data]
        top = max(logs)
        weights = [math.exp(v - top) for v in logs]
        mean = sum(w * one for w, one in zip(weights, data, strict=True)) / sum(weights)
        return (mean - x) / (1 - t)

    def axes(x0: float, title: str):
        c.text(x0 + 120, 20, title, INK, 14)
        c.line((x0, 50), (x0, 270), colour=GREEN, width=2)
        c.line((x0 + 240, 50), (x0 + 240, 270), colour=BLUE, width=2)
        c.text(x0, 288, "noise, *t* = 0", GREEN, 12.5)
        c.text(x0 + 240, 288, "data, *t* = 1", BLUE, 12.5)

    def at(x0: float, t: float, x: float) -> Point:
        return x0 + 240 * t, 160 - 44 * x

    axes(64, "training: straight lines between random pairs")
    starts = sorted(rng.gauss(0, 1) for _ in range(16))
    for start in starts:
        end = rng.choice(data)
        c.line(at(64, 0, start), at(64, 1, end), colour=FAINT, opacity=0.8)
    c.dots([at(64, 0, x) for x in starts], GREEN, 3, 1)
    c.dots([at(64, 1, x) for x in data], BLUE, 4, 1)
    axes(416, "sampling: the flow of their mean velocity")
    for start in starts:
        x, points, steps = start, [at(416, 0, start)], 120
        for i in range(steps - 1):
            t = i / steps
            x += velocity(x, t) / steps
            points.append(at(416, t + 1 / steps, x))
        x += velocity(x, (steps - 1) / steps) / steps
        points.append(at(416, 1, x))
        c.line(*points, colour=ORANGE, width=1.6)
    c.dots([at(416, 0, x) for x in starts], GREEN, 3, 1)
    c.dots([at(416, 1, x) for x in data], BLUE, 4, 1)
    c.text(184, 312, "the lines cross", FAINT, 13)
    c.text(536, 312, "its paths never cross", FAINT, 13)


# ------------------------------------------------------------------------------------------ others


def scene(c: Canvas, x: float, y: float, size: float = 52):
    """A small picture: a circle left of a square."""
    c.add("rect", x=x - size / 2, y=y - size / 2, width=size, height=size, rx=4, fill=BLUE,
          fill_opacity=0.12, stroke=BLUE)  # fmt: skip
    c.add("circle", cx=x - size * 0.18, cy=y - size * 0.05, r=size * 0.2, fill=ORANGE)
    c.add("rect", x=x + size * 0.1, y=y + size * 0.02, width=size * 0.24, height=size * 0.24,
          fill=GREEN)  # fmt: skip


@scheme
def unclip(c: Canvas, root: str):
    """CLIP, the prior and the decoder."""
    c.height = 330
    c.text(20, 22, "1   CLIP: one space for pictures and captions", INK, 14, text_anchor="start")
    c.box(100, 64, 150, 34, "“a circle left of a square”", INK, 0.05, size=11.5)
    c.arrow((177, 64), (210, 64))
    c.net(262, 64, 100, 46, "text encoder", INK, "right")
    c.arrow((314, 64), (358, 78), colour=INK)
    scene(c, 100, 130)
    c.arrow((130, 130), (210, 130))
    c.net(262, 130, 100, 46, "image encoder", BLUE, "right")
    c.arrow((314, 130), (358, 112), colour=BLUE)
    c.circle(410, 95, 50, "", GREEN, 0.07)
    rng = random.Random(5)
    for i in range(7):
        a = 2 * math.pi * i / 7 + 0.3
        p = (410 + 36 * math.cos(a), 95 + 36 * math.sin(a))
        q = (p[0] + rng.uniform(-6, 6), p[1] + rng.uniform(4, 8))
        c.line(p, q, colour=GREEN)
        c.dots([p], INK, 3.4, 1)
        c.dots([q], BLUE, 3.4, 1)
    c.text(590, 80, "A caption and its picture are drawn", FAINT, 13)
    c.text(590, 98, "together, all other pairs apart.", FAINT, 13)
    c.line((20, 178), (700, 178), colour=FAINT, opacity=0.4, width=1)
    c.text(20, 200, "2   prior: from the caption to an image embedding", INK, 14,
           text_anchor="start")  # fmt: skip
    c.text(420, 200, "3   decoder: from the embedding to a picture", INK, 14, text_anchor="start")
    y = 262
    c.box(68, y, 96, 46, "caption’s\nembedding", INK, 0.06, size=12.5)
    c.arrow((118, y), (150, y))
    c.box(220, y, 138, 54, "diffusion of vectors\n*p*(*z* | caption)", ORANGE, 0.14, size=13)
    c.arrow((290, y), (326, y))
    c.box(384, y, 112, 46, "image\nembedding *z*", GREEN, 0.16, size=12.5)
    c.arrow((441, y), (474, y))
    c.box(544, y, 138, 54, "diffusion of images\n*p*(*x* | *z*)", ORANGE, 0.14, size=13)
    c.arrow((614, y), (640, y))
    scene(c, 672, y)
    c.text(360, 316, "CLIP is trained first and then left as it is; its encoders supply "
           "what the other two learn from.", FAINT, 12.5)  # fmt: skip


def tin(c: Canvas, x: float, y: float, h: float, w: float, colour: str = BLUE):
    """A biscuit tin that stands on y."""
    r = w / 5
    c.add("path", d=f"M{x - w / 2:.1f} {y - h:.1f}V{y:.1f}A{w / 2:.1f} {r:.1f} 0 0 0 "
          f"{x + w / 2:.1f} {y:.1f}V{y - h:.1f}", fill=colour, fill_opacity=0.25, stroke=colour,
          stroke_width=1.5)  # fmt: skip
    c.add("ellipse", cx=x, cy=y - h, rx=w / 2, ry=r, fill=colour, fill_opacity=0.45, stroke=colour,
          stroke_width=1.5)  # fmt: skip


@scheme
def tins(c: Canvas, root: str):
    """An autoencoder of biscuit tins: two numbers in the middle."""
    c.height = 290
    c.box(60, 130, 92, 110, "", BLUE, 0.04)
    tin(c, 60, 160, 46, 40)
    c.text(60, 202, "a picture: many pixels", BLUE, 12.5)
    c.arrow((110, 130), (140, 130))
    c.net(196, 130, 108, 112, "encoder", BLUE, "right", 0.55)
    c.arrow((252, 130), (284, 130))
    x0, y0, side = 292, 50, 150
    c.line((x0, y0 + side), (x0 + side + 8, y0 + side), head=True)
    c.line((x0, y0 + side), (x0, y0 - 8), head=True)
    c.text(x0 + side / 2, y0 + side + 17, "*z*_1: width", GREEN, 13)
    c.text(x0 + 4, y0 - 20, "*z*_2: height", GREEN, 13)
    for i in range(4):
        for j in range(4):
            w, h = 12 + 6 * i, 6 + 6.5 * j
            here = (i, j) == (1, 1)
            goal = (i, j) == (1, 3)
            colour = GREEN if here else ORANGE if goal else FAINT
            tin(c, x0 + 24 + 36 * i, y0 + 141 - 38 * j, h, w * 0.8, colour)
    c.curve((x0 + 42, y0 + 84), (x0 + 42, y0 + 25), -10, ORANGE, 2.2)
    c.text(x0 + side / 2, 248, "the latent space: two numbers", INK, 13)
    c.text(x0 + side / 2, 268, "one step along *z*_2 makes the tin taller", ORANGE, 13)
    c.arrow((460, 130), (490, 130))
    c.net(546, 130, 108, 112, "decoder", ORANGE, "left", 0.55)
    c.arrow((602, 130), (630, 130))
    c.box(674, 130, 80, 110, "", ORANGE, 0.04)
    tin(c, 674, 168, 72, 36, ORANGE)
    c.text(664, 202, "a taller tin", ORANGE, 12.5)


LEAVES = (
    ("autoregressive", "08-autoregressive", "an order, and the chain rule"),
    ("normalizing flow", "09-flow", "an invertible map"),
    ("VAE", "10-vae", "a latent, and a bound"),
    ("energy-based", "11-energy", "unnormalised; Markov chains"),
    ("diffusion", "12-diffusion", "undo noise, and a bound"),
    ("GAN", "13-gan", "a process, no density"),
)


@scheme
def tree(c: Canvas, root: str):
    """The six families by what they do about the density; each leads to its chapter."""
    c.height = 420
    ys = [50 + 64 * i for i in range(6)]
    tops = {"tractable": (ys[0] + ys[1]) / 2, "approximate": ys[3], "implicit": ys[5]}
    middle = (tops["tractable"] + tops["approximate"]) / 2
    start = (middle + ys[5]) / 2

    def branch(a: Point, b: Point, colour=FAINT):
        x = (a[0] + b[0]) / 2
        c.path(f"M{a[0]} {a[1]}C{x} {a[1]} {x} {b[1]} {b[0]} {b[1]}", colour, 1.8)

    branch((132, start), (170, middle))
    branch((132, start), (170, ys[5]))
    branch((280, middle), (318, tops["tractable"]))
    branch((280, middle), (318, tops["approximate"]))
    for i in (0, 1):
        branch((428, tops["tractable"]), (470, ys[i]), BLUE)
    for i in (2, 3, 4):
        branch((428, tops["approximate"]), (470, ys[i]), GREEN)
    branch((280, ys[5]), (470, ys[5]), ORANGE)
    c.box(70, start, 124, 50, "generative\nmodels", INK, 0.06)
    c.box(225, middle, 110, 50, "explicit\ndensity", INK, 0.06)
    c.box(225, ys[5], 110, 50, "implicit\ndensity", ORANGE, 0.1)
    c.box(373, tops["tractable"], 110, 50, "tractable:\nexact", BLUE, 0.1)
    c.box(373, tops["approximate"], 110, 50, "approximate", GREEN, 0.1)
    colours = (BLUE, BLUE, GREEN, GREEN, GREEN, ORANGE)
    for y, colour, (name, page, idea) in zip(ys, colours, LEAVES, strict=True):
        c.parts.append(f'<a href="{root}course/{page}.html">')
        c.box(592, y, 244, 52, "", colour, 0.12)
        c.text(592, y - 9, name, INK, 15, font_weight="600", text_decoration="underline")
        c.text(592, y + 11, idea, FAINT, 12.5)
        c.parts.append("</a>")
    c.text(250, 408, "Can you ask the model how probable an observation is?", FAINT, 13)
