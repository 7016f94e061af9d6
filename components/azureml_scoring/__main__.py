"""`python -m azureml_scoring` is the command `azureml-scoring`."""

import sys

from azureml_scoring.cli import main

sys.exit(main())
