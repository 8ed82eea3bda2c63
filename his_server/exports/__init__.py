"""Large exports: more rows than the house lets out unasked need another person's approval, on paper too (COMPLIANCE PR-07).

Asked for with a reason for one report with one set of filters, approved by somebody else, good for a day and for nobody but who
asked: there is no link to copy; whoever asked presses 导出 again. ``[module.exports] approve_rows`` is the limit.

Implements: PR-07
"""
