from . import backends as backends
from . import circuits as circuits
from . import mitigation as mitigation
from . import qml as qml
from . import runs as runs
from . import tn as tn

__version__: str
