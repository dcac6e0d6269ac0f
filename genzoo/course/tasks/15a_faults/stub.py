"""15a: name the fault from a row.

             precision   recall   density   coverage   copies
    row a         0.98     0.50      1.00       0.52     0.01
    row b         0.75     0.98      0.63       0.88     0.01
    row c         1.00     0.02      0.93       0.07     0.01
    row d         0.95     0.84      1.00       0.94     1.00
    row e         0.96     0.97      1.00       0.98     0.01
    row f         0.31     0.65      0.20       0.32     0.00
    row g         0.99     0.11      1.12       0.43     0.02

Faults: "none", "noise", "mode dropped", "copies", "few repeated", "stretched", "too tidy".
"""

answers = {
    "row a": ...,
    "row b": ...,
    "row c": ...,
    "row d": ...,
    "row e": ...,
    "row f": ...,
    "row g": ...,
}
