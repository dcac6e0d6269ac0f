r"""Markdown with formulas as text for a terminal, which sets none.

>>> plain(r"Write $\log p_\theta(x)$.")
'Write log p_θ(x).'
"""

import re

WORDS = {
    "alpha": "α",
    "beta": "β",
    "lambda": "λ",
    "sigma": "σ",
    "theta": "θ",
    "eta": "η",
    "tau": "τ",
    "mu": "μ",
    "omega": "ω",
    "pi": "π",
    "xi": "ξ",
    "varepsilon": "ε",
    "Delta": "Δ",
    "nabla": "∇",
    "partial": "∂",
    "sum": "Σ",
    "prod": "∏",
    "ell": "ℓ",
    "lVert": "‖",
    "rVert": "‖",
    "cdot": "·",
    "times": "×",
    "propto": "∝",
    "approx": "≈",
    "sim": "~",
    "mid": "|",
    "|": "‖",
    "leftarrow": "←",
    "dots": "…",
    "le": "≤",
    "ge": "≥",
    "quad": "   ",
    "qquad": "     ",
    "{": "{",
    "}": "}",
    ",": " ",
    "!": "",
}
SIZES = ("big", "Big", "left", "right")  # of brackets, which a terminal cannot change
STYLES = "mathcal|mathbb|mathrm|text|operatorname"

# what has arguments, innermost first
RULES = {
    r"\\hat *(\\?\w+)": r"\1^",
    rf"\\(?:{STYLES}) *(\w|\{{[^{{}}]*\}})": lambda found: found[1].strip("{}"),
    r"([_^])\{(\w+)\}": r"\1\2",
    r"([_^])\{([^{}]*)\}": r"\1(\2)",
    r"\\sqrt\{([^{}]*)\}": r"sqrt(\1)",
    r"\\t?frac *(\w) *(\w)": r"\1/\2",
    r"\\t?frac\{([^{}]*)\}\{([^{}]*)\}": lambda found: _fraction(found[1], found[2]),
}


def plain(markdown: str) -> str:
    """The same text, each formula between dollar signs in the characters of a terminal."""
    blocks = re.sub(r"\$\$(.+?)\$\$", _block, markdown, flags=re.DOTALL)
    return re.sub(r"\$(.+?)\$", lambda found: _formula(found[1]), blocks, flags=re.DOTALL)


def _block(found: re.Match[str]) -> str:
    """A formula of its own: a line for each of its lines."""
    tex = re.sub(r"\\(begin|end)\{aligned\}", "", found[1]).replace("&", "")
    lines = [_formula(line).rstrip(" .") for line in tex.split(r"\\")]
    return "```\n" + "\n".join(line for line in lines if line) + "\n```"


def _formula(tex: str) -> str:
    before = ""
    while tex != before:
        before = tex
        for pattern, to in RULES.items():
            tex = re.sub(pattern, to, tex)
    tex = re.sub(r"\\([A-Za-z]+|.)", _word, tex, flags=re.DOTALL)
    return " ".join(tex.split())


def _fraction(above: str, below: str) -> str:
    parts = (f"({part})" if " " in part.strip() else part for part in (above, below))
    return " / ".join(parts)


def _word(found: re.Match[str]) -> str:
    word = found[1]
    return "" if word in SIZES else WORDS.get(word, word)
