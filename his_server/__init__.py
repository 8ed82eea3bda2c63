"""The platform of the hospital information server: what every module stands on.

Knows no hospital module by name; :mod:`his_server.app` loads them by configuration.
"""

__version__ = "0.1.0"
