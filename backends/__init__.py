"""Where circuits run: from names such as `"aer"` or `"fake:torino"` to results.

`get_backend` turns a name, a Qiskit device or a V2 primitive into a `Backend`, which compiles a circuit once
and holds an estimator and a sampler. Three verbs use it: `sample` returns counts and the bits of every shot,
`estimate` returns expectation values with standard errors, and `expectation` returns them as torch tensors
with gradients, by whichever method the backend supports. `to_torch` turns a circuit into a torch module, and
`to_pennylane` into a quantum function.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
