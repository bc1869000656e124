#!/bin/bash
# Equal scores in ir-measures: one list of three images, all with the same score, judged by several measures in one call.
# Guessed before it was run: whatever order the package gives to ties, it is one order for all measures of a call.
# What comes: RR without a cutoff, P, AP and Success take the last name first (they go to trec_eval's code), RR@1 and RR@10 take the
# first name first (other code). So "the first is right" is 1 by RR@1 and 0 by P@1, which are the same by definition, and the
# reciprocal rank with a cutoff is three times the one without, which it can never exceed. The order of the rows plays no part.
# Exits 0 while that is so, 1 if it changes. Needs a network for pip, and python3 with venv.
set -e
T=$(mktemp -d); trap 'rm -rf "$T"' EXIT
python3 -m venv "$T/venv"
"$T/venv/bin/pip" install --quiet ir-measures==0.4.3 pytrec-eval-terrier==0.5.11 numpy==2.4.6 2>/dev/null
"$T/venv/bin/python" <<'P'
import importlib.metadata, sys
import ir_measures
from ir_measures import AP, P, RR, Qrel, ScoredDoc, Success

measures = [P @ 1, Success @ 1, RR @ 1, AP, RR, RR @ 10]
print(f"ir-measures {ir_measures.__version__}, pytrec-eval-terrier {importlib.metadata.version('pytrec-eval-terrier')}")
as_found = True
for relevant, first in (("a", 0), ("c", 1)):
    for names in ("abc", "cba"):
        run = [ScoredDoc("query", name, 0.5) for name in names]
        found = ir_measures.calc_aggregate(measures, [Qrel("query", relevant, 1)], run)
        print(f"rows {names}, right is {relevant}: " + ", ".join(f"{measure} {found[measure]:.3f}" for measure in measures))
        as_found &= found[P @ 1] == found[Success @ 1] == first and found[RR @ 1] == 1 - first
        low, high = sorted((found[RR], found[RR @ 10]))
        as_found &= abs(low - 1 / 3) < 1e-3 and high == 1 and found[AP] == found[RR]
run = [ScoredDoc("query", name, score) for name, score in zip("abc", (0.7, 0.6, 0.5))]
found = ir_measures.calc_aggregate(measures, [Qrel("query", "b", 1)], run)
print("no ties, right is b: " + ", ".join(f"{measure} {found[measure]:.3f}" for measure in measures))
as_found &= found[P @ 1] == found[RR @ 1] == 0 and found[RR] == found[RR @ 10] == 0.5
sys.exit(not as_found)
P
