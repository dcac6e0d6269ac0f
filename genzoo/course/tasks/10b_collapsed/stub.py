"""10b: which of four runs has collapsed? (Recorded by experiments/course_runs.py.)

step                    50     200     800    1400    2000
run a  training       3.12    1.31    1.30    1.19    1.20
       validation     2.34    1.41    1.29    1.21    1.18
       active            2       2       1       1       1
run b  training       3.82    1.91    1.79    1.76    1.74
       validation     2.00    1.84    1.76    1.75    1.74
       active            0       0       0       0       0
run c  training       3.00   -1.27   -4.80   -8.00  -10.44
       validation     4.94    8.04    6.69    5.67    3.65
       active            2       2       2       2       2
run d  training       2.55    1.16    1.09    0.90    0.83
       validation     2.34    1.57    1.41    1.64    1.68
       active            2       2       1       1       1
"""

answers = {
    "run a": ...,
    "run b": ...,
    "run c": ...,
    "run d": ...,
    "try first": ...,
}
