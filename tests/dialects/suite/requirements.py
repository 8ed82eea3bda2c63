"""What DM8 has and hasn't got, each with its reason. What isn't named here has the suite's default."""

from __future__ import annotations

from typing import Any

from sqlalchemy.testing import exclusions
from sqlalchemy.testing.requirements import SuiteRequirements


def _open(reason: str) -> Any:
    """DM8 has it."""
    return property(lambda self: exclusions.open(), doc=reason)


def _closed(reason: str) -> Any:
    """DM8, or its driver, hasn't got it."""
    return property(lambda self: exclusions.closed(reason), doc=reason)


class Requirements(SuiteRequirements):
    """[M] SQL manual of DM8; [X] observed with dmPython 2.6.1; [S] the stand-in's own limit."""

    # ---- had
    boolean_col_expressions = _open("written as CASE WHEN … THEN 1 ELSE 0 END")
    comment_reflection = _open("[M] 3.19 COMMENT ON; ALL_TAB_COMMENTS, ALL_COL_COMMENTS")
    comment_reflection_full_unicode = _open("[M] CHARSET=1 is UTF-8")
    cross_schema_fk_reflection = _open("[M] a schema is a name space of tables; keys may cross")
    ctes = _open("[M] 4.4 WITH")
    datetime_literals = _open("[M] 1.4 DATE, TIME, TIMESTAMP literals")
    except_ = _open("[M] 4.5 EXCEPT, MINUS")
    fetch_first = _open("[M] 4.10 FETCH FIRST")
    fetch_no_order_by = _open("[M] 4.10")
    fetch_offset_with_options = _open("[M] 4.10")
    fetch_ties = _open("[M] 4.10 WITH TIES")
    foreign_key_constraint_option_reflection_ondelete = _open("[M] ALL_CONSTRAINTS.DELETE_RULE")
    intersect = _open("[M] 4.5 INTERSECT")
    nullsordering = _open("[M] 4.7 NULLS FIRST, NULLS LAST")
    on_update_cascade = _open("[M] 3.5 ON UPDATE CASCADE")
    precision_numerics_enotation_large = _open("[M] DECIMAL has 38 digits")
    precision_numerics_many_significant_digits = _open("[M] DECIMAL has 38 digits")
    cast_precision_numerics_many_significant_digits = _open("[M] DECIMAL has 38 digits")
    reflects_pk_names = _open("[M] ALL_CONSTRAINTS.CONSTRAINT_NAME")
    regexp_match = _open("[M] 8.2 REGEXP_LIKE")
    regexp_replace = _open("[M] 8.2 REGEXP_REPLACE")
    savepoints = _open("[M] 19.2 SAVEPOINT")
    schemas = _open("[M] 3.3 CREATE SCHEMA")
    supports_bitwise_and = _open("[M] 1.5 bit operators")
    supports_bitwise_not = _open("[M] 1.5")
    supports_bitwise_or = _open("[M] 1.5")
    supports_bitwise_shift = _open("[M] 1.5")
    supports_bitwise_xor = _open("[M] 1.5")
    window_range = _open("[M] 4.13 analytic functions: RANGE frames")
    datetime_historic = _open("[M] TIMESTAMP from year -4712")
    views = _open("[M] 6 CREATE VIEW")
    isolation_level = _open("[M] 19.4 SET TRANSACTION")
    autocommit = _open("the driver's autoCommit")
    standalone_null_binds_whereclause = _open("a parameter's type is known from its context")
    inline_check_constraint_reflection = _open("[M] ALL_CONSTRAINTS.SEARCH_CONDITION")
    check_constraint_reflection = _open("[M] ALL_CONSTRAINTS.SEARCH_CONDITION")
    identity_columns = _closed("[M] 3.5 IDENTITY has start and increment only, and no ALWAYS or BY DEFAULT")

    def get_isolation_levels(self, config: Any) -> dict[str, Any]:
        """[M] 19.4: three levels; AUTOCOMMIT is the driver's."""
        return {
            "default": "READ COMMITTED",
            "supported": ["READ UNCOMMITTED", "READ COMMITTED", "SERIALIZABLE", "AUTOCOMMIT"],
        }

    # ---- not had
    foreign_key_constraint_option_reflection_onupdate = _closed("[M] ALL_CONSTRAINTS has no update rule")
    implements_get_lastrowid = _closed(
        "[S] the driver's lastrowid is a row's physical address; RETURNING INTO serves"
    )
    has_temp_table = _closed(
        "[M] 3.5 temporary tables are global: their definition lasts; [S] PostgreSQL has none such"
    )
    json_type = _closed("JSON is kept in a CLOB and read whole: no paths; our own tests hold its round trip")
    temp_table_names = _closed("see has_temp_table")
    temp_table_reflection = _closed("see has_temp_table")
    temporary_tables = _closed("see has_temp_table")
    temporary_views = _closed("[M] 6: no temporary views")
    time_microseconds = _closed("[X] the driver cuts TIME to whole seconds; TIMESTAMP keeps microseconds")
    tuple_in = _closed("[M] 4.4: IN takes a list of values or a query, no list of rows")
    unbounded_varchar = _closed("[M] 1.4 VARCHAR needs a length within the page; we refuse it with a reason")
