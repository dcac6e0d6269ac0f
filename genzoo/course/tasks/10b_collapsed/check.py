from genzoo.course.checking import choices

RIGHT = {
    "run a": "healthy",
    "run b": "collapsed",
    "run c": "beta too small",
    "run d": "overfit",
    "try first": "less weight",
}

REASONS = {
    "run a": {
        "collapsed": "one latent dimension stays active, which is what a curve needs.",
        "beta too small": "training and validation agree; with a tiny beta they are far apart.",
        "overfit": "training and validation agree, and both fall.",
    },
    "run b": {
        "healthy": "it levels off early and far above run a, and no latent dimension is active: "
        "the decoder does all the work, and the latent says nothing about the observation.",
        "beta too small": "with a tiny beta the KL is nearly free, and every dimension active.",
        "overfit": "validation follows training closely.",
    },
    "run c": {
        "healthy": "its training loss is the lowest of all, yet its bound with the full KL is the "
        "worst. Draws of the prior fall where nothing was ever encoded.",
        "collapsed": "both latent dimensions are active to the end.",
        "overfit": "its bound is bad from the first look on. In a run that overfits it is good at "
        "first, and rises later.",
    },
    "run d": {
        "healthy": "compare training with validation at the end, and validation with what it was "
        "at step 800.",
        "collapsed": "a latent dimension is active.",
        "beta too small": "its bound begins as run a's does, and turns later. It is on *new* "
        "observations that it fails.",
    },
    "try first": {
        "larger decoder": "a stronger decoder needs the latent even less: that makes it worse.",
        "more steps": "the KL is 0, where its own gradient is 0 too: more steps change little.",
    },
}


def check(answer):
    choices(answer.answers, RIGHT, REASONS)
