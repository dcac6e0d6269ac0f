from genzoo.course.checking import choices

RIGHT = {
    "run a": "healthy",
    "run b": "collapsed",
    "run c": "oscillating",
    "run d": "critic too strong",
    "losses at a draw": "1.386 and 0.693",
    "what shows a collapse": "clusters",
}

REASONS = {
    "run a": {
        "collapsed": "its samples fall into all eight clusters.",
        "oscillating": "its losses settle, near those of a draw.",
        "critic too strong": "a critic's loss near 2 log 2 means that it can hardly tell.",
    },
    "run b": {
        "healthy": "its losses look calm and nearly as in run a. But seven of eight clusters are "
        "never drawn: losses do not show it.",
        "oscillating": "its losses are calm, and it is always the same cluster.",
        "critic too strong": "the critic's loss is far from 0.",
    },
    "run c": {
        "healthy": "its losses swing to and fro, and never settle.",
        "collapsed": "at each step it draws one cluster, but another each time: the players chase "
        "each other round the ring.",
        "critic too strong": "the critic wins and loses by turns.",
    },
    "run d": {
        "healthy": "a small loss of the critic is no success of the generator: none of its samples "
        "fall into a cluster.",
        "collapsed": "it draws no cluster at all, not one.",
        "oscillating": "nothing swings here: one player has won for good.",
    },
    "losses at a draw": {
        "0 and 0": "a loss of 0 means to be sure and right, which both cannot be.",
        "0.5 and 0.5": "that is the *probability* at a draw; its -log is softplus(0) = log 2 = "
        "0.693, and the critic pays it twice.",
    },
    "what shows a collapse": {
        "losses": "compare runs a and b: hardly any difference. Look at samples, or at recall.",
    },
}


def check(answer):
    choices(answer.answers, RIGHT, REASONS)
