"""`python -m exemplar_lab` is `exemplar-lab`."""

import sys

from exemplar_lab.cli import main

sys.exit(main())
