"""What the losses of runs a and b end near can be computed.

At a draw they are 2 log 2 and log 2. Where a generator draws one of eight clusters, the best critic
gives log(1/8) there and a large score elsewhere: its loss is 1/8 softplus(log 8) +
softplus(-log 8), which is 0.39, and the generator pays softplus(log 8), which is 2.20.
"""

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
        "healthy": "its losses are calm, but far from those of a draw: the critic knows each "
        "observation of the other seven clusters at once.",
        "oscillating": "its losses are calm, and it is always the same cluster.",
        "critic too strong": "a critic that wins for good has a loss of 0. This one cannot tell "
        "samples from the one cluster that both share.",
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
        "losses": "calm losses off a draw say that the critic is ahead, and not why: blurred "
        "samples in all eight clusters could give the same ones. Look at samples, or at recall.",
    },
}


def check(answer):
    choices(answer.answers, RIGHT, REASONS)
