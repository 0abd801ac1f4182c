"""No test looks up outside names: nothing would answer, and the lookup would wait. This folder is on the PYTHONPATH of
every process under test, so Python imports its `sitecustomize` by itself; pytest's own process imports it explicitly.
"""

from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent
