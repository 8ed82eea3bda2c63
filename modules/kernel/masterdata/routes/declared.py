"""The one collection of routes, and who may use them."""

from his_server.http import Routes

routes = Routes("kernel.masterdata", "/api/masterdata", tag="masterdata")
VIEW = "masterdata.view"
EDIT = "masterdata.edit"
ORGANISE = "masterdata.organise"
DICTIONARIES = "masterdata.dictionaries"
