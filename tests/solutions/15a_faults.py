"""15a: name the fault from a row."""

answers = {
    "row a": "mode dropped",
    "row b": "noise",
    "row c": "few repeated",
    "row d": "copies",
    "row e": "none",
    "row f": "stretched",
    "row g": "too tidy",
}
