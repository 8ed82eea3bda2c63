"""What a person last chose on a page (filters, store, window): kept on the server, so that it follows to any workstation.

Small texts under a name that the page chooses (``stock.categories``). No rights hang on them and nothing of patients
belongs in them. Implements: M7.6
"""
