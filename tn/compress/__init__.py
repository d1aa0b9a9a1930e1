"""Compress torch models: linear layers become factors that change the model's answers as little as possible.

`compress` measures on calibration data what matters in each layer, shares out a budget of parameters between
the layers, and fits the factors one layer after another. `refine` and `heal` train them toward the dense
model's answers, block by block or as a whole. `save` and `load` keep the result as safetensors.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
