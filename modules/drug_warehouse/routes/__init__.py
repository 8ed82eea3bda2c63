"""Routes of the drug warehouse."""

from his_server.http import Routes

routes = Routes("drug_warehouse", "/api/drug-warehouse", tag="drug_warehouse")
VIEW = "drug_warehouse.view"
BUY = "drug_warehouse.buy"
RECEIVE = "drug_warehouse.receive"
PRICE = "drug_warehouse.price"
PAY = "drug_warehouse.pay"
NOTICE = "drug_warehouse.notice"
REPORT = "drug_warehouse.report"
