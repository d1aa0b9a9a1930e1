from .alphabet import RESIDUES as RESIDUES
from .alphabet import Alphabet as Alphabet
from .alphabet import standardise as standardise
