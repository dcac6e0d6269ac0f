from genzoo.course.checking import choices

RIGHT = {
    "run a": "healthy",
    "run b": "collapsed",
    "run c": "oscillating",
    "run d": "critic too strong",
    "losses at a draw": "1.386 and 0.693",
    "what shows a collapse": "coverage",
}

REASONS = {
    "run a": {
        "collapsed": "its samples come to cover most of the data.",
        "oscillating": "its losses settle, at those of a draw.",
        "critic too strong": "a critic's loss near 2 log 2 means that it can hardly tell.",
    },
    "run b": {
        "healthy": "its losses are those of a draw, and yet less than half of the data is covered, "
        "to the end.",
        "oscillating": "its losses are calm.",
        "critic too strong": "its critic's loss is that of a draw: it cannot tell samples from the "
        "part of the data that they cover.",
    },
    "run c": {
        "healthy": "its losses swing to and fro, and never settle.",
        "collapsed": "its coverage rises and falls with its losses: the players chase each other, "
        "and what is drawn at one look is lost at the next.",
        "critic too strong": "the critic's lead comes and goes.",
    },
    "run d": {
        "healthy": "a small loss of the critic is no success of the generator: it is found out "
        "from the first look to the last.",
        "collapsed": "the losses of a collapsed game can look like a draw. Here the critic is far "
        "ahead all the time.",
        "oscillating": "no player takes the lead from the other here: one has it for good.",
    },
    "losses at a draw": {
        "0 and 0": "a loss of 0 means to be sure and right, which both cannot be.",
        "0.5 and 0.5": "that is the *probability* at a draw; its -log is softplus(0) = log 2 = "
        "0.693, and the critic pays it twice.",
    },
    "what shows a collapse": {
        "losses": "the losses of runs a and b end alike, at a draw. Only what is drawn tells the "
        "two apart: look at samples, or at recall and coverage.",
    },
}


def check(answer):
    choices(answer.answers, RIGHT, REASONS)
