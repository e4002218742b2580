"""DermDiT as a Kedro project: text-to-image diffusion of dermoscopic images for fairer diagnosis.

Importing the package switches off the telemetry of every library it uses; a value the user has
already set in the environment is left alone.
"""

import os

__version__ = "0.1.0"

for _name, _value in {
    "KEDRO_DISABLE_TELEMETRY": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DISABLE_TELEMETRY": "1",
}.items():
    os.environ.setdefault(_name, _value)
