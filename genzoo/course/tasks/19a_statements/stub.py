"""19a: which statements may be made? "yes" or "no".

    model   bits/dim    ±          The entropy of the data is 1.05.
    A       = 1.25      0.01
    B       ≤ 1.15      0.01
    C       ≤ 1.30      0.01
    D       ≈ 1.10      0.02
    E       —
    F       = 1.26      0.01
    G       ≤ 0.98      0.01

1  B is better than A.
2  A is better than C.
3  B is better than C.
4  D is the best of A to F.
5  E is the worst model, for it has no value.
6  A is better than F.
7  B is at most about 0.10 away from the truth.
8  G is the best model of all.
"""

answers = {"1": ..., "2": ..., "3": ..., "4": ..., "5": ..., "6": ..., "7": ..., "8": ...}
