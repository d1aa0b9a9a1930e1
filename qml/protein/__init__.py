"""Classify proteins as sentences: residues are words, and a quantum tensor network reads them.

Reads sequences from CSV, TSV, FASTA or UniProt, splits them without separating homologous families, and
trains classifiers with scikit-learn's interface: the quantum tensor networks `WindowQTN`, `LatchQTN`,
`PathQTN`, `TreeQTN` and `RecurrentQTN` beside classical baselines. Trained models become Qiskit circuits that
run on any backend. `score_predictions` measures how good predictions are, and `window_scores` shows which
residues they rest on.
"""

import lazy_loader

from bondwise.runs.renames import with_old_names

_getattr, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
_OLD = {"Path": "PathNetwork", "Windows": "WindowNetwork", "standardise": "standardize"}
__getattr__ = with_old_names(__name__, _getattr, _OLD)
