"""What every run reads, checks and writes.

Results carry standard errors, print in one line, and save to JSON and safetensors. Checkpoints and run
folders survive crashes and never mix two runs. Files are written whole or not at all, and read within limits.
The checks of numbers, the two error types, progress bars and figures are also here, so that they look the
same everywhere. This package does not import any other part of bondwise.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
