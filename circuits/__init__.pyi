from .naming import true_names as true_names
from .paulis import Observable as Observable
from .paulis import as_operator as as_operator
from .paulis import hermitian as hermitian
from .paulis import is_matrix as is_matrix
from .paulis import is_observable as is_observable
from .sources import as_circuit as as_circuit
