-- create table: key without identity, comments
CREATE TABLE patient (
id BIGINT NOT NULL,
name VARCHAR(60 CHAR) NOT NULL,
born DATE,
active BIT DEFAULT '1' NOT NULL,
created TIMESTAMP(6) NOT NULL,
note CLOB,
PRIMARY KEY (id)
)

-- create table: identity, types, constraints
CREATE TABLE charge (
id INTEGER IDENTITY(1, 1) NOT NULL,
patient_id BIGINT NOT NULL,
amount DECIMAL(14, 2) NOT NULL,
state VARCHAR(4 CHAR),
"level" SMALLINT,
"share" DOUBLE,
at TIME(6),
body CLOB,
scan BLOB,
trace VARCHAR(32 CHAR),
"order" VARCHAR(8 CHAR),
PRIMARY KEY (id),
CONSTRAINT ck_charge_amount CHECK (amount >= 0),
CONSTRAINT fk_charge_patient FOREIGN KEY(patient_id) REFERENCES patient (id) ON DELETE CASCADE
)

-- create table: identity with options
CREATE TABLE numbered (
id INTEGER IDENTITY(100, 5) NOT NULL,
PRIMARY KEY (id)
)

-- create index
CREATE INDEX ix_charge_state ON charge (state, id)

-- drop index
DROP INDEX ix_charge_state

-- drop table
DROP TABLE charge

-- comment on table
COMMENT ON TABLE patient IS '病人'

-- comment on column
COMMENT ON COLUMN patient.name IS '姓名'

-- add constraint
ALTER TABLE charge ADD CONSTRAINT uq_charge_order UNIQUE (patient_id, "order")

-- drop constraint
ALTER TABLE charge DROP CONSTRAINT uq_charge_order

-- create sequence
CREATE SEQUENCE seq_receipt INCREMENT BY 1 START WITH 1

-- insert
INSERT INTO patient (id, name, born, active, created, note) VALUES (?, ?, ?, ?, ?, ?)

-- insert returning
INSERT INTO charge (patient_id, amount) VALUES (?, ?) RETURNING charge.id, charge.amount INTO ?, ?

-- insert with identity
INSERT INTO charge (patient_id, amount) VALUES (?, ?) RETURNING charge.id INTO ?

-- insert several rows
INSERT INTO patient (id, name) VALUES (?, ?), (?, ?)

-- insert from select
INSERT INTO numbered (id) SELECT patient.id
FROM patient

-- insert from select with cte
INSERT INTO numbered (id) WITH recent AS
(SELECT charge.patient_id AS patient_id, sum(charge.amount) AS total
FROM charge GROUP BY charge.patient_id)
SELECT recent.patient_id
FROM recent

-- insert with expression
INSERT INTO patient (id, name) VALUES ((SELECT max(patient.id) + ? AS anon_1
FROM patient), ?) RETURNING patient.id INTO ?

-- insert of nothing
INSERT INTO numbered (id) VALUES (?)

-- update
UPDATE patient SET name=? WHERE patient.id = ?

-- update guarded
UPDATE charge SET state=? WHERE charge.id = ? AND charge.state = ?

-- update returning
UPDATE charge SET "level"=(charge."level" + ?) WHERE charge.id = ? RETURNING charge."level" INTO ?

-- update from subquery
UPDATE charge SET "level"=(SELECT count(*) AS count_1
FROM patient)

-- update of a mapped class
UPDATE patient SET name=? WHERE patient.name = ?

-- update with case
UPDATE charge SET "level"=CASE WHEN (charge."level" > ?) THEN CAST(? AS INTEGER) ELSE CAST(? AS INTEGER) END

-- delete
DELETE FROM charge WHERE charge.id = ?

-- delete returning
DELETE FROM charge WHERE charge.id = ? RETURNING charge.id INTO ?

-- delete where exists
DELETE FROM charge WHERE EXISTS (SELECT *
FROM patient
WHERE patient.id = charge.patient_id)

-- select
SELECT patient.id, patient.name, patient.born, patient.active, patient.created, patient.note
FROM patient

-- select literal
SELECT CAST(? AS INTEGER) AS anon_1 FROM DUAL

-- select null
SELECT NULL AS anon_1 FROM DUAL

-- select distinct
SELECT DISTINCT charge.state
FROM charge

-- join
SELECT patient.name, charge.amount
FROM patient JOIN charge ON patient.id = charge.patient_id

-- outer join
SELECT patient.name, charge.amount
FROM patient LEFT OUTER JOIN charge ON patient.id = charge.patient_id

-- self join
SELECT charge.id, other.id AS id_1
FROM charge JOIN charge other ON other.patient_id = charge.patient_id

-- group and having
SELECT charge.state, sum(charge.amount) AS sum_1
FROM charge GROUP BY charge.state
HAVING sum(charge.amount) > ?

-- count distinct
SELECT count(DISTINCT charge.patient_id) AS count_1
FROM charge

-- order with nulls
SELECT patient.id
FROM patient ORDER BY patient.born DESC NULLS LAST, patient.id

-- limit
SELECT patient.id
FROM patient ORDER BY patient.id
LIMIT ?

-- limit and offset
SELECT patient.id
FROM patient ORDER BY patient.id
LIMIT ? OFFSET ?

-- offset
SELECT patient.id
FROM patient ORDER BY patient.id
OFFSET ? ROWS

-- fetch with ties
SELECT patient.id
FROM patient ORDER BY patient.id
FETCH FIRST ? ROWS WITH TIES

-- in
SELECT patient.id
FROM patient
WHERE patient.id IN (__[POSTCOMPILE_id_1])

-- in nothing
SELECT patient.id
FROM patient
WHERE patient.id IN (__[POSTCOMPILE_id_1])

-- not in
SELECT patient.id
FROM patient
WHERE (patient.id NOT IN (__[POSTCOMPILE_id_1]))

-- between
SELECT patient.id
FROM patient
WHERE patient.born BETWEEN ? AND ?

-- like
SELECT patient.id
FROM patient
WHERE patient.name LIKE ?

-- contains, escaped
SELECT patient.id
FROM patient
WHERE (patient.name LIKE '%' || ? || '%' ESCAPE '/')

-- ilike
SELECT patient.id
FROM patient
WHERE lower(patient.name) LIKE lower(?)

-- boolean column
SELECT patient.id
FROM patient
WHERE patient.active = 1

-- boolean column negated
SELECT patient.id
FROM patient
WHERE patient.active = 0

-- boolean is true
SELECT patient.id
FROM patient
WHERE patient.active = 1

-- boolean is not false
SELECT patient.id
FROM patient
WHERE (patient.active <> 0 OR patient.active IS NULL)

-- boolean constant
SELECT patient.id
FROM patient
WHERE 1 = 1

-- condition as value
SELECT CASE WHEN (patient.id = ?) THEN 1 ELSE 0 END AS one, CASE WHEN (patient.active = 1 AND patient.id > ?) THEN 1 ELSE 0 END AS two
FROM patient

-- exists as value
SELECT CASE WHEN (EXISTS (SELECT *
FROM patient
WHERE patient.id = ?)) THEN 1 ELSE 0 END AS anon_1 FROM DUAL

-- not exists
SELECT patient.id
FROM patient
WHERE NOT (EXISTS (SELECT *
FROM charge
WHERE charge.patient_id = patient.id))

-- and, or, not
SELECT patient.id
FROM patient
WHERE patient.id = ? OR patient.name = ? AND patient.born != ?

-- is distinct from
SELECT patient.id
FROM patient
WHERE DECODE(patient.born, ?, 0, 1) = 1

-- is not distinct from
SELECT patient.id
FROM patient
WHERE DECODE(patient.born, ?, 0, 1) = 0

-- scalar subquery
SELECT patient.id, (SELECT max(charge.amount) AS max_1
FROM charge
WHERE charge.patient_id = patient.id) AS m
FROM patient

-- derived table
SELECT few.id
FROM (SELECT patient.id AS id
FROM patient
LIMIT ?) few

-- cte
WITH recent AS
(SELECT charge.patient_id AS patient_id, sum(charge.amount) AS total
FROM charge GROUP BY charge.patient_id)
SELECT patient.name, recent.total
FROM patient JOIN recent ON recent.patient_id = patient.id

-- recursive cte
WITH tree(id, depth) AS
(SELECT patient.id AS id, CAST(? AS INTEGER) AS depth
FROM patient
WHERE patient.id = ? UNION ALL SELECT patient.id AS id, tree.depth + ? AS anon_1
FROM patient, tree
WHERE patient.id = tree.id + ?)
SELECT tree.id
FROM tree

-- union
SELECT patient.id
FROM patient UNION SELECT charge.patient_id
FROM charge

-- union all, sorted
SELECT patient.id AS i
FROM patient UNION ALL SELECT charge.patient_id
FROM charge ORDER BY i

-- window
SELECT charge.id, row_number() OVER (PARTITION BY charge.patient_id ORDER BY charge.id) AS anon_1
FROM charge

-- running total
SELECT sum(charge.amount) OVER (ORDER BY charge.id ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS anon_1
FROM charge

-- for update
SELECT charge.id, charge.patient_id, charge.amount, charge.state, charge."level", charge."share", charge.at, charge.body, charge.scan, charge.trace, charge."order"
FROM charge
WHERE charge.id = ? FOR UPDATE

-- for update nowait
SELECT charge.id, charge.patient_id, charge.amount, charge.state, charge."level", charge."share", charge.at, charge.body, charge.scan, charge.trace, charge."order"
FROM charge
WHERE charge.id = ? FOR UPDATE NOWAIT

-- for update skip locked
SELECT charge.id, charge.patient_id, charge.amount, charge.state, charge."level", charge."share", charge.at, charge.body, charge.scan, charge.trace, charge."order"
FROM charge
WHERE charge.state = ? FOR UPDATE SKIP LOCKED

-- for update of
SELECT charge.id, charge.patient_id, charge.amount, charge.state, charge."level", charge."share", charge.at, charge.body, charge.scan, charge.trace, charge."order"
FROM charge JOIN patient ON patient.id = charge.patient_id FOR UPDATE OF charge.id

-- case
SELECT CASE WHEN (charge."level" = ?) THEN ? WHEN (charge."level" = ?) THEN ? ELSE ? END AS anon_1
FROM charge

-- cast
SELECT CAST(charge.amount AS INTEGER) AS amount, CAST(charge.id AS VARCHAR(10 CHAR)) AS id, CAST(charge.id AS CLOB) AS id__1
FROM charge

-- arithmetic
SELECT MOD(charge."level", ?) AS anon_1, charge."level" / CAST(? AS DECIMAL(38, 10)) AS anon_2, FLOOR(charge."level" / ?) AS anon_3, charge.amount * ? AS anon_4
FROM charge

-- concat
SELECT patient.name || ? || patient.note AS anon_1
FROM patient

-- functions
SELECT coalesce(patient.note, ?) AS coalesce_1, lower(patient.name) AS lower_1, CURRENT_TIMESTAMP(6) AS now_1, CHAR_LENGTH(patient.name) AS char_length_1
FROM patient

-- sequence
SELECT seq_receipt.NEXTVAL AS next_value_1 FROM DUAL

-- bound datetime
SELECT patient.id
FROM patient
WHERE patient.created >= ?

-- string aggregate
SELECT LISTAGG(patient.name, ?) AS aggregate_strings_1
FROM patient

-- regexp
SELECT patient.id
FROM patient
WHERE REGEXP_LIKE(patient.name, ?)
