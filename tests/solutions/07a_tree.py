"""7a: five models in the tree."""

answers = {
    "typist": "autoregressive",
    "painter": "gan",
    "judge": "energy",
    "mould": "flow",
    "summary": "vae",
}
