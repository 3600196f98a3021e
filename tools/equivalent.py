"""Mutants of the published solutions that are right as well, each with the reason. ``make mutants`` reads it."""

SQUARED = "a difference is squared: its sign does not matter"
FREE = "which of equally good numbers an experiment uses is free"
FROM_THE_END = "position -1 is the same as position 0 or 2 of this tensor"
SIGN_OF_A_WEIGHT = "the sign of a learned layer is free: the same functions can be learned"
OVERWRITTEN = "what it makes is replaced in the next line"
SYMMETRIC = "the function is symmetric in these two arguments"

EQUIVALENT: dict[str, dict[str, str]] = {
    "kl_categorical": {
        "1.0 -> 2.0": "where q is 0 the logarithm is multiplied by 0",
        "1.0 -> 0.5": "where q is 0 the logarithm is multiplied by 0",
        "1.0 -> 2.0 (2)": "where q is 0 the logarithm is multiplied by 0",
        "1.0 -> 0.5 (2)": "where q is 0 the logarithm is multiplied by 0",
    },
}
