"""DM8's dictionary on PostgreSQL's: the views and functions that a dialect and Alembic ask, in the schema
SYS."""

from __future__ import annotations

_KIND = """CASE WHEN t.typname = 'bit' AND t.typnamespace = 'sys'::regnamespace THEN 'BIT'
  ELSE CASE b.typname WHEN 'int2' THEN 'SMALLINT' WHEN 'int4' THEN 'INTEGER' WHEN 'int8' THEN 'BIGINT'
  WHEN 'numeric' THEN 'DECIMAL' WHEN 'varchar' THEN 'VARCHAR' WHEN 'bpchar' THEN 'CHAR' WHEN 'text' THEN
  'CLOB' WHEN 'bytea' THEN 'BLOB' WHEN 'timestamp' THEN 'TIMESTAMP' WHEN 'date' THEN 'DATE' WHEN 'time' THEN
  'TIME' WHEN 'float8' THEN 'DOUBLE' WHEN 'float4' THEN 'REAL' WHEN 'timestamptz' THEN 'TIMESTAMP WITH TIME
  ZONE' ELSE upper(b.typname) END END"""

SQL = f"""
CREATE SCHEMA IF NOT EXISTS sys;
SET search_path = sys;
CREATE DOMAIN sys.bit AS smallint CHECK (VALUE IN (0, 1));
CREATE DOMAIN sys.clob AS text;
CREATE DOMAIN sys.blob AS bytea;
CREATE TABLE "DUAL" ("DUMMY" varchar(1));
INSERT INTO "DUAL" VALUES ('X');
CREATE VIEW "V$INSTANCE" AS SELECT 'STANDIN'::varchar AS "NAME", 'NORMAL'::varchar AS "MODE$", 'OPEN'::varchar AS "STATUS$";
CREATE TABLE "STANDIN_SETTING" ("PARA_NAME" varchar(40) PRIMARY KEY, "PARA_VALUE" varchar(40));
INSERT INTO "STANDIN_SETTING" VALUES ('PAGE_SIZE', '32768'), ('CHARSET', '1'), ('COMPATIBLE_MODE', '0'),
  ('LENGTH_IN_CHAR', '0'), ('MAX_SESSIONS', '1000'), ('ROLES', 'RESOURCE'), ('PRIVILEGES', 'CREATE SESSION,CREATE TABLE');
CREATE FUNCTION sys.setting(varchar) RETURNS varchar LANGUAGE sql STABLE AS
  'SELECT "PARA_VALUE" FROM sys."STANDIN_SETTING" WHERE "PARA_NAME" = $1';
CREATE VIEW "V$DM_INI" AS SELECT "PARA_NAME", "PARA_VALUE" FROM "STANDIN_SETTING";
CREATE VIEW "V$VERSION" AS SELECT 'DM Database Server 64 V8 (stand-in)'::varchar AS "BANNER";
CREATE VIEW "USER_ROLE_PRIVS" AS SELECT unnest(string_to_array(sys.setting('ROLES'), ','))::varchar AS "GRANTED_ROLE";
CREATE VIEW "USER_SYS_PRIVS" AS SELECT unnest(string_to_array(sys.setting('PRIVILEGES'), ','))::varchar AS "PRIVILEGE";
CREATE FUNCTION sys.page() RETURNS integer LANGUAGE sql STABLE AS 'SELECT sys.setting(''PAGE_SIZE'')::integer';
CREATE FUNCTION sys.octets(varchar) RETURNS integer LANGUAGE sql STABLE AS
  'SELECT CASE sys.setting(''CHARSET'') WHEN ''1'' THEN octet_length($1) ELSE 2 * char_length($1) END';
CREATE FUNCTION sys.set_session_identity_check(integer) RETURNS integer LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION sys.now_local() RETURNS timestamp LANGUAGE sql STABLE AS 'SELECT localtimestamp(6)';
CREATE VIEW "ALL_TABLES" AS SELECT n.nspname::varchar AS "OWNER", c.relname::varchar AS "TABLE_NAME",
  CASE c.relpersistence WHEN 't' THEN 'Y' ELSE 'N' END::varchar AS "TEMPORARY"
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p')
  AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'sys', 'pg_toast');
CREATE VIEW "ALL_VIEWS" AS SELECT schemaname::varchar AS "OWNER", viewname::varchar AS "VIEW_NAME", definition AS "TEXT"
  FROM pg_views WHERE schemaname NOT IN ('pg_catalog', 'information_schema', 'sys');
CREATE VIEW "ALL_TAB_COLUMNS" AS SELECT n.nspname::varchar AS "OWNER", c.relname::varchar AS "TABLE_NAME",
  a.attname::varchar AS "COLUMN_NAME", ({_KIND})::varchar AS "DATA_TYPE",
  CASE WHEN b.typname IN ('varchar', 'bpchar') AND a.atttypmod > 0 THEN (a.atttypmod - 4) * 4 ELSE 8 END AS "DATA_LENGTH",
  CASE WHEN b.typname IN ('varchar', 'bpchar') AND a.atttypmod > 0 THEN a.atttypmod - 4 ELSE 0 END AS "CHAR_LENGTH",
  CASE WHEN b.typname = 'numeric' AND a.atttypmod > 0 THEN ((a.atttypmod - 4) >> 16) & 65535 END AS "DATA_PRECISION",
  CASE WHEN b.typname = 'numeric' AND a.atttypmod > 0 THEN (a.atttypmod - 4) & 65535 END AS "DATA_SCALE",
  CASE WHEN a.attnotnull THEN 'N' ELSE 'Y' END::varchar AS "NULLABLE", a.attnum::integer AS "COLUMN_ID",
  regexp_replace(pg_get_expr(d.adbin, d.adrelid), '::[a-z ]+(\\([0-9,]+\\))?', '', 'g')::varchar AS "DATA_DEFAULT"
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
  JOIN pg_type t ON t.oid = a.atttypid JOIN pg_type b ON b.oid = CASE WHEN t.typbasetype = 0 THEN t.oid ELSE t.typbasetype END
  LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum WHERE c.relkind IN ('r', 'p', 'v');
CREATE VIEW "ALL_COL_COMMENTS" AS SELECT n.nspname::varchar AS "OWNER", c.relname::varchar AS "TABLE_NAME",
  a.attname::varchar AS "COLUMN_NAME", d.description::varchar AS "COMMENTS"
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
  LEFT JOIN pg_description d ON d.objoid = c.oid AND d.objsubid = a.attnum AND d.classoid = 'pg_class'::regclass;
CREATE VIEW "ALL_TAB_COMMENTS" AS SELECT n.nspname::varchar AS "OWNER", c.relname::varchar AS "TABLE_NAME",
  d.description::varchar AS "COMMENTS" FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_description d ON d.objoid = c.oid AND d.objsubid = 0 AND d.classoid = 'pg_class'::regclass
  WHERE c.relkind IN ('r', 'v');
CREATE VIEW "ALL_CONSTRAINTS" AS SELECT n.nspname::varchar AS "OWNER", k.conname::varchar AS "CONSTRAINT_NAME",
  CASE k.contype WHEN 'p' THEN 'P' WHEN 'u' THEN 'U' WHEN 'f' THEN 'R' WHEN 'c' THEN 'C' END::varchar AS "CONSTRAINT_TYPE",
  c.relname::varchar AS "TABLE_NAME", rn.nspname::varchar AS "R_OWNER", rk.conname::varchar AS "R_CONSTRAINT_NAME",
  CASE k.confdeltype WHEN 'c' THEN 'CASCADE' WHEN 'n' THEN 'SET NULL' WHEN 'd' THEN 'SET DEFAULT' WHEN 'r' THEN 'RESTRICT'
    WHEN 'a' THEN 'NO ACTION' END::varchar AS "DELETE_RULE",
  CASE WHEN k.contype = 'c' THEN replace(regexp_replace(regexp_replace(pg_get_constraintdef(k.oid),
    '^CHECK \\(\\((.*)\\)\\)$', '\\1'), '::[a-z ]+', '', 'g'), '"', '') END AS "SEARCH_CONDITION",
  ic.relname::varchar AS "INDEX_NAME"
  FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = k.connamespace
  LEFT JOIN pg_class ic ON ic.oid = k.conindid AND k.contype IN ('p', 'u')
  LEFT JOIN pg_constraint rk ON k.contype = 'f' AND rk.conindid = k.conindid AND rk.contype IN ('p', 'u')
    AND rk.conrelid = k.confrelid
  LEFT JOIN pg_namespace rn ON rn.oid = rk.connamespace WHERE k.contype IN ('p', 'u', 'f', 'c');
CREATE VIEW "ALL_CONS_COLUMNS" AS SELECT n.nspname::varchar AS "OWNER", k.conname::varchar AS "CONSTRAINT_NAME",
  c.relname::varchar AS "TABLE_NAME", a.attname::varchar AS "COLUMN_NAME", p.place::integer AS "POSITION"
  FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = k.connamespace
  CROSS JOIN LATERAL unnest(k.conkey) WITH ORDINALITY AS p(num, place)
  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = p.num;
CREATE VIEW "ALL_INDEXES" AS SELECT n.nspname::varchar AS "OWNER", i.relname::varchar AS "INDEX_NAME",
  'NORMAL'::varchar AS "INDEX_TYPE", n.nspname::varchar AS "TABLE_OWNER", c.relname::varchar AS "TABLE_NAME",
  CASE WHEN x.indisunique THEN 'UNIQUE' ELSE 'NONUNIQUE' END::varchar AS "UNIQUENESS", 'N'::varchar AS "GENERATED"
  FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class c ON c.oid = x.indrelid
  JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname NOT IN ('pg_catalog', 'pg_toast', 'sys');
CREATE VIEW "ALL_IND_COLUMNS" AS SELECT n.nspname::varchar AS "INDEX_OWNER", i.relname::varchar AS "INDEX_NAME",
  n.nspname::varchar AS "TABLE_OWNER", c.relname::varchar AS "TABLE_NAME",
  coalesce(a.attname, pg_get_indexdef(x.indexrelid, p.place::integer, true))::varchar AS "COLUMN_NAME",
  p.place::integer AS "COLUMN_POSITION"
  FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class c ON c.oid = x.indrelid
  JOIN pg_namespace n ON n.oid = c.relnamespace
  CROSS JOIN LATERAL unnest(x.indkey::int2[]) WITH ORDINALITY AS p(num, place)
  LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = p.num AND p.num > 0;
CREATE VIEW "ALL_SEQUENCES" AS SELECT n.nspname::varchar AS "SEQUENCE_OWNER", c.relname::varchar AS "SEQUENCE_NAME"
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'S'
  AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = c.oid AND d.deptype IN ('i', 'a'));
CREATE VIEW "SYSOBJECTS" AS SELECT c.oid::integer AS "ID", c.relname::varchar AS "NAME", c.relnamespace::integer AS "SCHID",
  'SCHOBJ'::varchar AS "TYPE$", 'UTAB'::varchar AS "SUBTYPE$" FROM pg_class c WHERE c.relkind = 'r'
  UNION ALL SELECT n.oid::integer, n.nspname::varchar, 0, 'SCH'::varchar, NULL FROM pg_namespace n
  WHERE n.nspname NOT LIKE 'pg%' AND n.nspname NOT IN ('information_schema', 'public');
CREATE VIEW "SYSCOLUMNS" AS SELECT a.attrelid::integer AS "ID", a.attname::varchar AS "NAME",
  CASE WHEN a.attidentity <> '' THEN 1 ELSE 0 END AS "INFO2" FROM pg_attribute a WHERE a.attnum > 0;
"""
