from helpers import quick_starts  # noqa: F401
