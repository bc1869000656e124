#!/bin/bash
# Ten images ranked by comparisons of two, and an eleventh that nobody has compared: where choix puts it (Bradley-Terry, with alpha).
# Guessed before it was run: alpha draws all to the middle, so what nothing is known of comes to be in the middle, at 0, sixth of eleven.
# What comes: that is so of opt_pairwise (alpha is a penalty there) and of ep_pairwise (a prior). By lsr_pairwise, ilsr_pairwise
# and mm_pairwise it is third, however small alpha is: a step of chance from each item to each makes its strength the mean of
# the others' strengths, and logarithms of strengths are what is given; the mean of 50, 15, 1 and 0.01 is near the best.
# Images added late come out as among the best.
# Exits 0 while that is so, 1 if it changes. Needs a network for pip, and python3 with venv.
set -e
T=$(mktemp -d); trap 'rm -rf "$T"' EXIT
python3 -m venv "$T/venv"
"$T/venv/bin/pip" install --quiet choix==0.4.1 numpy==2.4.6 2>/dev/null
"$T/venv/bin/python" <<'P'
import importlib.metadata, itertools, sys
import choix

answers = []  # (won, lost); the lower number wins twenty times of twenty-one
for better, worse in itertools.combinations(range(10), 2):
    answers += [(better, worse)] * 20 + [(worse, better)]

def ep_pairwise(number, answers, alpha):
    return choix.ep_pairwise(number, answers, alpha, model="logit")[0]

print(f"choix {importlib.metadata.version('choix')}; items 0 (best) to 9, 20 of 21 answers for the better one, item 10 in none")
as_found = True
for way, expected in (
    (choix.opt_pairwise, 6), (ep_pairwise, 6), (choix.lsr_pairwise, 3), (choix.ilsr_pairwise, 3), (choix.mm_pairwise, 3),
):
    for alpha in (0.001, 0.01):
        found = way(11, answers, alpha=alpha)
        place = 1 + int((found > found[10] + 1e-6).sum())
        print(f"{way.__name__:14s} alpha {alpha}: best {found[0]:+.2f}, last {found[9]:+.2f}, not compared {found[10]:+.2f}, place {place} of 11")
        as_found &= place == expected
sys.exit(not as_found)
P
