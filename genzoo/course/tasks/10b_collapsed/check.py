from genzoo.course.checking import choices

RIGHT = {
    "run a": "healthy",
    "run b": "collapsed",
    "run c": "beta too small",
    "run d": "overfit",
    "try first": "warmup",
}

REASONS = {
    "run a": {
        "collapsed": "its KL grows and 11 dimensions are active: the latent is used.",
        "beta too small": "its KL is modest and the sum falls; a tiny beta lets the KL explode.",
        "overfit": "training and validation differ by one nat, and both fall.",
    },
    "run b": {
        "healthy": "its loss falls, but look at the KL of 0 and the active dimensions: the decoder "
        "does all the work, and the latent says nothing about the picture.",
        "beta too small": "with a tiny beta the KL would be huge, for it would be nearly free.",
        "overfit": "validation follows training closely.",
    },
    "run c": {
        "healthy": "its reconstructions are the best of all, yet the sum with the full KL rises. "
        "Draws of the prior fall where no picture was ever encoded.",
        "collapsed": "all 16 dimensions are active, and the KL is enormous.",
        "overfit": "training rises just as validation does: it is the objective that is wrong.",
    },
    "run d": {
        "healthy": "compare training with validation at step 3000: 47 nats apart.",
        "collapsed": "13 dimensions are active.",
        "beta too small": "its KL is that of a healthy run. It is on *new* pictures that it fails.",
    },
    "try first": {
        "larger decoder": "a stronger decoder needs the latent even less: that makes it worse.",
        "more steps": "the KL is 0, where its own gradient is 0 too: more steps change little.",
    },
}


def check(answer):
    choices(answer.answers, RIGHT, REASONS)
