"""What every run reads, checks and writes.

A `Result` carries standard errors, prints in one line, and saves to JSON and safetensors. A `RunFolder` and
its checkpoints (`save_checkpoint`, `load_checkpoint`) survive crashes and never mix two runs. Files are
written whole or not at all (`write_atomically`, `FileSet`), and read within limits (`read_text`, `read_json`,
`read_arrays`). The checks of numbers, the errors `UsageError` and `RunError`, progress bars and figures are
also here, so that they look the same everywhere. This package does not import any other part of bondwise.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
