"""One colour a quantity, on every page: Okabe and Ito's, which most eyes tell apart."""

LOSS, TEST_LOSS = "#555555", "#9a9a9a"
SHARPNESS, THRESHOLD, BATCH = "#D55E00", "#000000", "#E69F00"
NEXT = "#e9a77c"  # the eigenvalues after the largest
INVARIANT = "#0072B2"
JACOBIAN, JACOBIAN_MEAN = "#009E73", "#66c5ab"
KEPT = "#8a7a9e"  # a run that was kept
GAP, BOUND = "#56B4E9", "#CC79A7"
