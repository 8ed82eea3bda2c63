"""The demo hospital: catalogues as data files and invented people."""
