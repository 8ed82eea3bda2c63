"""What the warehouse does: suppliers, orders, receipts, invoices, prices, the sunshine platform."""
