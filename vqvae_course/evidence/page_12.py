"""What page 12 claims of two maps of codes against one."""

from vqvae_course.evidence.claims import Claim
from vqvae_course.evidence.rules import Alike, Every, Less, Undecided

RUNS, ERROR = "one_map_or_two", "normalized_mse"
LIT_TWO, LIT_ONE = "lit, 192 bits, two maps", "lit, 192 bits, one map"
CIFAR_TWO, CIFAR_ONE = "cifar10_jpeg, 192 bits, two maps", "cifar10_jpeg, 192 bits, one map"

CLAIMS: dict[str, Claim] = {
    "12-bottom-holds-layout": Claim(
        "On lit scenes the top holds less than half of the coarse band, and the bottom at least two fifths.",
        (
            Every(RUNS, "top_share_coarse", LIT_TWO, least=0.3, most=0.5),
            Every(RUNS, "bottom_share_coarse", LIT_TWO, least=0.4),
        ),
    ),
    "12-top-asleep": Claim(
        "On CIFAR-10, and on lit scenes above a bottom of 45 codes, the top holds next to nothing of the coarse band.",
        (
            Every(RUNS, "top_share_coarse", CIFAR_TWO, most=0.05),
            Every(RUNS, "top_share_coarse", "lit, 384 bits, two maps", most=0.05),
        ),
    ),
    "12-few-bits": Claim(
        "At 192 bits these five seeds do not decide between two maps and one, with coloured light or without.",
        (
            Undecided(RUNS, ERROR, LIT_TWO, LIT_ONE),
            Undecided(RUNS, ERROR, "plain, 192 bits, two maps", "plain, 192 bits, one map"),
        ),
    ),
    "12-more-bits": Claim(
        "At 384 bits they do not decide on lit scenes either.",
        (Undecided(RUNS, ERROR, "lit, 384 bits, two maps", "lit, 384 bits, one map"),),
    ),
    "12-larger-top": Claim(
        "Above the same bottom grid, a top of 4×4 places loses to one map of as many bits on plain scenes.",
        (Less(RUNS, ERROR, "plain, 384 bits, one map", "plain, 384 bits, two maps, 4x4 above 8x8"),),
    ),
    "12-detail": Claim(
        "On lit scenes at 192 bits both rivals make about the same error in the detail.",
        (Alike(RUNS, "error_detail", LIT_TWO, LIT_ONE, within=0.02),),
    ),
    "12-cifar": Claim("On CIFAR-10 at 192 bits one map beats two.", (Less(RUNS, ERROR, CIFAR_ONE, CIFAR_TWO),)),
    "12-reach": Claim(
        "Three more residual layers change the error of one map by less than 0.03.",
        (Alike(RUNS, ERROR, LIT_ONE, "lit, 192 bits, one deeper map", within=0.03),),
    ),
    "12-told": Claim(
        "Telling the bottom about the top makes no difference that these runs can show.",
        (Undecided(RUNS, ERROR, LIT_TWO, "lit, 192 bits, two maps, not told"),),
    ),
}
