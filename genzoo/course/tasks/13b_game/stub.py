"""13b: which game has gone wrong? (Numbers as such runs show them, made for the exercise.)

step         500   1000   1500   2000   2500   3000
run a  critic       1.21   1.30   1.34   1.36   1.37   1.37
       generator    0.81   0.76   0.73   0.71   0.71   0.70
       clusters     6      8      8      8      8      8
run b  critic       0.93   0.64   0.47   0.42   0.40   0.40
       generator    1.22   1.61   1.98   2.12   2.17   2.18
       clusters     4      2      1      1      1      1     (always the same one)
run c  critic       0.62   1.91   0.55   2.04   0.60   1.88
       generator    2.30   0.31   2.51   0.28   2.44   0.33
       clusters     1      1      1      1      1      1     (another one each time)
run d  critic       0.09   0.02   0.01   0.00   0.00   0.00
       generator    4.10   6.80   8.20   9.10   9.70   10.2
       clusters     0      0      0      0      0      0
"""

answers = {
    "run a": ...,
    "run b": ...,
    "run c": ...,
    "run d": ...,
    "losses at a draw": ...,
    "what shows a collapse": ...,
}
