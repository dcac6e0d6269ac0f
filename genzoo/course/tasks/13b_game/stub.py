"""13b: which game has gone wrong? (Recorded by experiments/course_runs.py.)

step                   300     900    1500    2100    2700    3000
run a  critic         1.39    1.35    1.39    1.39    1.39    1.39
       generator      0.70    0.73    0.69    0.69    0.69    0.69
       coverage       0.67    0.73    0.90    0.81    0.84    0.82
run b  critic         1.37    1.40    1.39    1.39    1.39    1.39
       generator      0.71    0.70    0.70    0.69    0.69    0.69
       coverage       0.09    0.33    0.38    0.43    0.47    0.41
run c  critic         1.47    1.66    1.04    0.71    0.99    0.92
       generator      0.79    1.08    0.98    1.41    1.63    1.47
       coverage       0.29    0.25    0.64    0.35    0.49    0.55
run d  critic         0.81    0.72    0.63    0.48    1.02    0.79
       generator      1.66    1.63    1.50    1.46    1.44    1.43
       coverage       0.31    0.35    0.37    0.39    0.39    0.39
"""

answers = {
    "run a": ...,
    "run b": ...,
    "run c": ...,
    "run d": ...,
    "losses at a draw": ...,
    "what shows a collapse": ...,
}
