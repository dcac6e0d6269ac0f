"""13b: which game has gone wrong?"""

answers = {
    "run a": "healthy",
    "run b": "collapsed",
    "run c": "oscillating",
    "run d": "critic too strong",
    "losses at a draw": "1.386 and 0.693",
    "what shows a collapse": "coverage",
}
