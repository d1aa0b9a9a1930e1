from .backend import Backend as Backend
from .names import get_backend as get_backend
