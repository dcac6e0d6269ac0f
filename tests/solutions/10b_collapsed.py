"""10b: which of four runs has collapsed?"""

answers = {
    "run a": "healthy",
    "run b": "collapsed",
    "run c": "beta too small",
    "run d": "overfit",
    "try first": "less weight",
}
