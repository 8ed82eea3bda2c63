"""Reports and printed documents: one table description → screen JSON, xlsx, PDF; and a flow of blocks → PDF.

    columns = [Column("name", "姓名", fixed=True), Column("sum", "金额", "money", total=True)]
    report = Report("cashier-day", "收费员日报", columns, subtitle=["某某医院", "统计日期 2026-11-23"])
    to_json(report, rows); to_xlsx(report, rows, file); to_pdf(report, rows, file, paper="A4")
    Document("A5").title("门诊收费凭证").pairs([("姓名", "张三")]).save(file)

Knows nothing of hospitals. Requirements: M1.6 (reprints), M1.11 (readable pages), M9.1, M9.7, M9.8, FN-18
(exports), XC-10 (every character of GB 18030-2022 that a free font has; `glyph_missing` tells which lack).
"""

from .document import Document
from .fonts import glyph_missing
from .page import load_main_font
from .pdf import to_pdf
from .screen import to_json
from .table import Chart, Column, Line, Report, lines, mask, show
from .xlsx import to_xlsx

__all__ = ["Chart", "Column", "Document", "Line", "Report", "glyph_missing", "lines", "load_main_font", "mask", "show",
           "to_json", "to_pdf", "to_xlsx"]
