"""15a: name the fault from a row.

             precision   recall   density   coverage   copies
    row a          0.97     0.51      0.99       0.51     0.01
    row b          0.68     0.99      0.59       0.84     0.01
    row c          1.00     0.02      1.03       0.07     0.01
    row d          0.95     0.85      0.97       0.88     1.00
    row e          0.96     0.98      0.98       0.96     0.01
    row f          0.28     0.75      0.18       0.27     0.00
    row g          0.99     0.13      1.08       0.42     0.01

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
