"""The suite that a certifying body runs against an installed product, from outside (issue 7; docs/certification).

``catalogue.toml`` names every check of COMPLIANCE.md; ``checks/`` holds one function for each that can be run; the
rest are told as 未执行 with the reason, or as a checklist. The suite reaches the product by HTTP, reads its tables with
a database account of its own, reads files, and calls the installed ``his-server`` command. It imports none of the
product's services: what it knows of the product is what an assessor can know.
"""
