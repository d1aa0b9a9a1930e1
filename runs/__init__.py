"""What a run reads, checks and leaves behind.

Results with standard errors that print in one line and save to JSON and safetensors; checkpoints; run folders
that survive crashes and never mix two runs; files written whole or not at all, and files read within limits.
The checks of numbers, the two kinds of error, progress bars and figures are here as well, so that they look
the same everywhere. Nothing in here knows about circuits or tensor networks.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
