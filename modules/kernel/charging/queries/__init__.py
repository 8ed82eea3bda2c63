"""Reads of the charging ledger: its invariants, and the lists of its own screens."""

from modules.kernel.charging.queries.balance import (
    claims_agree,
    closed_shifts_frozen,
    conversions_agree,
    intents_used_once,
    invoice_chains,
    line_states_agree,
    numbers_complete,
    payment_states_agree,
    receipt_chains,
    settlements_balance,
)
from modules.kernel.charging.queries.conversions import conversion
from modules.kernel.charging.queries.deposits import old_deposits
from modules.kernel.charging.queries.invoices import cashiers, invoices
from modules.kernel.charging.queries.listings import case, claim, intent, worklist
from modules.kernel.charging.queries.mobile import mobile_order, mobile_orders
from modules.kernel.charging.queries.papers import invoice_checks, invoice_differences, papers

__all__ = ["case", "cashiers", "claim", "claims_agree", "closed_shifts_frozen", "conversion", "conversions_agree", "intent",
           "intents_used_once", "invoice_chains", "invoice_checks", "invoice_differences", "invoices",
           "line_states_agree", "mobile_order", "mobile_orders", "numbers_complete", "old_deposits", "papers",
           "payment_states_agree", "receipt_chains", "settlements_balance", "worklist"]
