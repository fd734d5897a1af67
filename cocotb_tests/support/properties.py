"""How tests of a property draw: the same every time, and however slow the machine is."""

from hypothesis import settings
from hypothesis.configuration import set_hypothesis_home_dir

from models.cache import CHECKOUT_FOLDER

# Its tables of signs are kept where `make clean` removes them.
set_hypothesis_home_dir(CHECKOUT_FOLDER / "hypothesis")

steady = settings(derandomize=True, deadline=None, database=None)
