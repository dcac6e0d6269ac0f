"""10b: which of four runs has collapsed? (Numbers as such runs show them, made for the exercise.)

        step   reconstruction     KL   active   -ELBO training   -ELBO validation
run a    300             92.0    6.0     5/16             98.0               98.3
        3000             66.0   19.0    11/16             85.0               86.1
run b    300             99.0    0.8     1/16             99.8              100.1
        3000             96.5    0.0     0/16             96.5               96.9
run c    300             60.0   70.0    16/16            130.0              131.0
        3000             31.0  112.0    16/16            143.0              145.0
run d    300             91.0    7.0     6/16             98.0               98.6
        3000             38.0   24.0    13/16             62.0              109.0
"""

answers = {
    "run a": ...,
    "run b": ...,
    "run c": ...,
    "run d": ...,
    "try first": ...,
}
