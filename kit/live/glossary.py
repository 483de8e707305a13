"""What the recurring words mean, one sentence each: shown where a page first uses them.

>>> sorted(GLOSSARY)
['damping', 'gap', 'jacobian', 'sharpness', 'vacuous']
"""

GLOSSARY = {
    "sharpness": {
        "words": "sharpness",
        "says": "Sharpness λ: the largest curvature of the training loss, over all directions in "
        "which the parameters can move; the largest eigenvalue of the Hessian.",
    },
    "jacobian": {
        "words": "Jacobian norm|Jacobian|‖J‖₂?",
        "says": "Jacobian J: how the outputs change when the input changes a little. Its norm ‖J‖ "
        "is the largest change of the outputs per unit of change of the input.",
    },
    "gap": {
        "words": "gaps?",
        "says": "Gap: the loss (or the share of errors) on test data less that on training data.",
    },
    "vacuous": {
        "words": "vacuous",
        "says": "Vacuous: a bound that says nothing, since a predictor which ignores its input "
        "satisfies it, too.",
    },
    "damping": {
        "words": "damping",
        "says": "Damping μ: a number added to every eigenvalue of a curvature matrix, so that flat "
        "directions count little; weight decay μ does so to the loss.",
    },
}
