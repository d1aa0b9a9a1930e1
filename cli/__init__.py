"""The command `bondwise`.

`bondwise vqe`, `decompose`, `run`, `mitigate` and `backends` work on Hamiltonians, states and circuits,
`bondwise protein` classifies proteins, and `bondwise compress` compresses language models. Most commands
write a folder with `result.json` and a `report.html` that opens offline. `main(["vqe", …])` runs a command
from Python. This is the only room that imports all others.
"""

import sys

try:
    import lazy_loader

    __getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
except KeyboardInterrupt:  # `main` hears the later ones
    sys.stderr.write("bondwise: stopped.\n")
    raise SystemExit(130) from None
