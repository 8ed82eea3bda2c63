CREATE TABLE antimicrobial_override (
    prescription_id BIGINT NOT NULL,
    "level" VARCHAR(10 CHAR) NOT NULL,
    reason_sealed BLOB NOT NULL,
    doctor_id BIGINT NOT NULL,
    doctor_name VARCHAR(60 CHAR) NOT NULL,
    made_at TIMESTAMP(6) NOT NULL,
    due_at TIMESTAMP(6) NOT NULL,
    state VARCHAR(10 CHAR) NOT NULL,
    done_at TIMESTAMP(6),
    done_by_name VARCHAR(60 CHAR) NOT NULL,
    note_sealed BLOB,
    id BIGINT NOT NULL,
    CONSTRAINT pk_antimicrobial_override PRIMARY KEY (id),
    CONSTRAINT uq_antimicrobial_override_prescription_id UNIQUE (prescription_id),
    CONSTRAINT fk_antimicrobial_override_prescription_id FOREIGN KEY(prescription_id) REFERENCES prescription (id)
);
CREATE INDEX ix_antimicrobial_override_due ON antimicrobial_override (state, due_at);

CREATE TABLE batch (
    drug_id BIGINT NOT NULL,
    lot_no VARCHAR(40 CHAR) NOT NULL,
    expiry DATE NOT NULL,
    pack_cost DECIMAL(18, 4) NOT NULL,
    pack_size INTEGER NOT NULL,
    supplier VARCHAR(100 CHAR),
    created_at TIMESTAMP(6) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_batch PRIMARY KEY (id),
    CONSTRAINT uq_batch_drug_id_lot_no_expiry_pack_cost_pack_size UNIQUE (drug_id, lot_no, expiry, pack_cost, pack_size),
    CONSTRAINT ck_batch_pack_size CHECK (pack_size > 0)
);

CREATE TABLE channel_statement (
    channel VARCHAR(20 CHAR) NOT NULL,
    day DATE NOT NULL,
    row_count INTEGER NOT NULL,
    paid DECIMAL(18, 2) NOT NULL,
    returned DECIMAL(18, 2) NOT NULL,
    fees DECIMAL(18, 2) NOT NULL,
    matched INTEGER NOT NULL,
    fetched_at TIMESTAMP(6) NOT NULL,
    fetched_by_name VARCHAR(60 CHAR) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_channel_statement PRIMARY KEY (id),
    CONSTRAINT uq_channel_statement_channel_day UNIQUE (channel, day)
);
CREATE INDEX ix_channel_statement_day ON channel_statement (day, id);

CREATE TABLE channel_statement_row (
    statement_id BIGINT NOT NULL,
    position INTEGER NOT NULL,
    kind VARCHAR(6 CHAR) NOT NULL,
    "number" VARCHAR(64 CHAR) NOT NULL,
    peer_number VARCHAR(64 CHAR) NOT NULL,
    amount DECIMAL(18, 2) NOT NULL,
    happened_at TIMESTAMP(6) NOT NULL,
    original VARCHAR(64 CHAR) NOT NULL,
    fee DECIMAL(18, 2) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_channel_statement_row PRIMARY KEY (id),
    CONSTRAINT uq_channel_statement_row_statement_id_position UNIQUE (statement_id, position),
    CONSTRAINT fk_channel_statement_row_statement_id FOREIGN KEY(statement_id) REFERENCES channel_statement (id)
);
CREATE INDEX ix_channel_statement_row_number ON channel_statement_row ("number");

CREATE TABLE charge_item (
    code VARCHAR(40 CHAR) NOT NULL,
    name VARCHAR(120 CHAR) NOT NULL,
    unit VARCHAR(20 CHAR) NOT NULL,
    fiscal_category VARCHAR(4 CHAR) NOT NULL,
    insurance_level VARCHAR(4 CHAR) NOT NULL,
    performing_kind VARCHAR(10 CHAR) NOT NULL,
    aliases VARCHAR(200 CHAR) NOT NULL,
    active BIT NOT NULL,
    revision INTEGER NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_charge_item PRIMARY KEY (id),
    CONSTRAINT uq_charge_item_code UNIQUE (code)
);

CREATE TABLE charge_item_price (
    item_id BIGINT NOT NULL,
    price DECIMAL(18, 4) NOT NULL,
    valid_from DATE NOT NULL,
    valid_to DATE,
    changed_by BIGINT NOT NULL,
    changed_at TIMESTAMP(6),
    reason VARCHAR(200 CHAR) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_charge_item_price PRIMARY KEY (id),
    CONSTRAINT uq_charge_item_price_item_id_valid_from UNIQUE (item_id, valid_from),
    CONSTRAINT ck_charge_item_price_order CHECK (valid_to IS NULL OR valid_to > valid_from),
    CONSTRAINT ck_charge_item_price_price CHECK (price >= 0),
    CONSTRAINT fk_charge_item_price_item_id FOREIGN KEY(item_id) REFERENCES charge_item (id)
);

CREATE TABLE charge_item_search (
    owner_id BIGINT NOT NULL,
    kind VARCHAR(8 CHAR) NOT NULL,
    search_key VARCHAR(64 CHAR) NOT NULL,
    part SMALLINT NOT NULL,
    CONSTRAINT pk_charge_item_search PRIMARY KEY (owner_id, kind, search_key),
    CONSTRAINT fk_charge_item_search_owner_id FOREIGN KEY(owner_id) REFERENCES charge_item (id) ON DELETE CASCADE
);
CREATE INDEX ix_charge_item_search_key ON charge_item_search (part, search_key, owner_id, kind);

CREATE TABLE charge_line (
    person_id BIGINT NOT NULL,
    encounter_id BIGINT NOT NULL,
    source VARCHAR(20 CHAR) NOT NULL,
    source_id BIGINT NOT NULL,
    source_line_id BIGINT NOT NULL,
    kind VARCHAR(10 CHAR) NOT NULL,
    item_id BIGINT NOT NULL,
    code VARCHAR(40 CHAR) NOT NULL,
    name VARCHAR(120 CHAR) NOT NULL,
    spec VARCHAR(120 CHAR),
    unit VARCHAR(20 CHAR) NOT NULL,
    price DECIMAL(18, 4) NOT NULL,
    quantity DECIMAL(18, 4) NOT NULL,
    factor DECIMAL(18, 4) NOT NULL,
    amount DECIMAL(18, 2) NOT NULL,
    fiscal_category VARCHAR(4 CHAR) NOT NULL,
    insurance_level VARCHAR(4 CHAR),
    ordering_department_id BIGINT,
    ordering_staff_id BIGINT,
    performing_department_id BIGINT,
    state VARCHAR(10 CHAR) NOT NULL,
    settlement_id BIGINT,
    receipt_id BIGINT,
    reverses_line_id BIGINT,
    created_at TIMESTAMP(6) NOT NULL,
    created_by BIGINT NOT NULL,
    row_mac VARCHAR(64 CHAR),
    id BIGINT NOT NULL,
    CONSTRAINT pk_charge_line PRIMARY KEY (id),
    CONSTRAINT ck_charge_line_settlement CHECK (state = 'settled' OR settlement_id IS NULL)
);
CREATE INDEX ix_charge_line_created ON charge_line (created_at);
CREATE INDEX ix_charge_line_person ON charge_line (person_id, state);
CREATE INDEX ix_charge_line_reverses ON charge_line (reverses_line_id);
CREATE INDEX ix_charge_line_settlement ON charge_line (settlement_id);
CREATE INDEX ix_charge_line_source ON charge_line (source, source_id);

CREATE TABLE charge_line_state (
    line_id BIGINT NOT NULL,
    quantity DECIMAL(18, 4) NOT NULL,
    performed DECIMAL(18, 4) NOT NULL,
    refunded DECIMAL(18, 4) NOT NULL,
    CONSTRAINT pk_charge_line_state PRIMARY KEY (line_id),
    CONSTRAINT ck_charge_line_state_bounds CHECK (performed >= 0 AND refunded >= 0 AND performed + refunded <= quantity)
);

CREATE TABLE clinic_session (
    day DATE NOT NULL,
    template_id BIGINT,
    department_id BIGINT NOT NULL,
    doctor_id BIGINT,
    period VARCHAR(4 CHAR) NOT NULL,
    "level" VARCHAR(20 CHAR) NOT NULL,
    capacity INTEGER NOT NULL,
    extra INTEGER NOT NULL,
    taken INTEGER NOT NULL,
    issued INTEGER NOT NULL,
    state VARCHAR(10 CHAR) NOT NULL,
    reason VARCHAR(200 CHAR),
    changed_at TIMESTAMP(6),
    changed_by_name VARCHAR(60 CHAR),
    id BIGINT NOT NULL,
    CONSTRAINT pk_clinic_session PRIMARY KEY (id),
    CONSTRAINT ck_clinic_session_capacity CHECK (taken >= 0 AND taken <= capacity + extra),
    CONSTRAINT uq_clinic_session_day_template_id UNIQUE (day, template_id),
    CONSTRAINT fk_clinic_session_template_id FOREIGN KEY(template_id) REFERENCES schedule_template (id)
);
CREATE INDEX ix_clinic_session_choice ON clinic_session (day, department_id, "level");

CREATE TABLE controlled_return (
    "number" VARCHAR(32 CHAR) NOT NULL,
    store_id BIGINT NOT NULL,
    prescription_line_id BIGINT NOT NULL,
    drug_id BIGINT NOT NULL,
    batch_id BIGINT NOT NULL,
    kind VARCHAR(10 CHAR) NOT NULL,
    quantity DECIMAL(18, 4) NOT NULL,
    brought_by VARCHAR(60 CHAR) NOT NULL,
    received_at TIMESTAMP(6) NOT NULL,
    business_date DATE NOT NULL,
    received_by BIGINT NOT NULL,
    received_by_name VARCHAR(60 CHAR) NOT NULL,
    witness_name VARCHAR(60 CHAR) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_controlled_return PRIMARY KEY (id),
    CONSTRAINT ck_controlled_return_positive CHECK (quantity > 0),
    CONSTRAINT uq_controlled_return_number UNIQUE ("number")
);
CREATE INDEX ix_controlled_return_day ON controlled_return (store_id, business_date);
CREATE INDEX ix_controlled_return_line ON controlled_return (prescription_line_id);

CREATE TABLE department (
    code VARCHAR(20 CHAR) NOT NULL,
    name VARCHAR(60 CHAR) NOT NULL,
    kind VARCHAR(10 CHAR) NOT NULL,
    parent_id BIGINT,
    outpatient BIT NOT NULL,
    emergency BIT NOT NULL,
    building VARCHAR(40 CHAR) NOT NULL,
    active BIT NOT NULL,
    revision INTEGER DEFAULT '1' NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_department PRIMARY KEY (id),
    CONSTRAINT uq_department_code UNIQUE (code),
    CONSTRAINT fk_department_parent_id FOREIGN KEY(parent_id) REFERENCES department (id)
);

CREATE TABLE department_search (
    owner_id BIGINT NOT NULL,
    kind VARCHAR(8 CHAR) NOT NULL,
    search_key VARCHAR(64 CHAR) NOT NULL,
    part SMALLINT NOT NULL,
    CONSTRAINT pk_department_search PRIMARY KEY (owner_id, kind, search_key),
    CONSTRAINT fk_department_search_owner_id FOREIGN KEY(owner_id) REFERENCES department (id) ON DELETE CASCADE
);
CREATE INDEX ix_department_search_key ON department_search (part, search_key, owner_id, kind);

CREATE TABLE diagnosis (
    code VARCHAR(40 CHAR) NOT NULL,
    name VARCHAR(120 CHAR) NOT NULL,
    category VARCHAR(60 CHAR) NOT NULL,
    aliases VARCHAR(200 CHAR) NOT NULL,
    active BIT NOT NULL,
    revision INTEGER DEFAULT '1' NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_diagnosis PRIMARY KEY (id),
    CONSTRAINT uq_diagnosis_code UNIQUE (code)
);

CREATE TABLE diagnosis_search (
    owner_id BIGINT NOT NULL,
    kind VARCHAR(8 CHAR) NOT NULL,
    search_key VARCHAR(64 CHAR) NOT NULL,
    part SMALLINT NOT NULL,
    CONSTRAINT pk_diagnosis_search PRIMARY KEY (owner_id, kind, search_key),
    CONSTRAINT fk_diagnosis_search_owner_id FOREIGN KEY(owner_id) REFERENCES diagnosis (id) ON DELETE CASCADE
);
CREATE INDEX ix_diagnosis_search_key ON diagnosis_search (part, search_key, owner_id, kind);

CREATE TABLE dictionary_entry (
    dictionary VARCHAR(30 CHAR) NOT NULL,
    code VARCHAR(30 CHAR) NOT NULL,
    name VARCHAR(80 CHAR) NOT NULL,
    position INTEGER NOT NULL,
    valid_from DATE,
    valid_to DATE,
    revision INTEGER DEFAULT '1' NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_dictionary_entry PRIMARY KEY (id),
    CONSTRAINT uq_dictionary_entry_dictionary_code UNIQUE (dictionary, code)
);

CREATE TABLE dispensing_scan (
    task_id BIGINT NOT NULL,
    line_id BIGINT NOT NULL,
    code VARCHAR(100 CHAR) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_dispensing_scan PRIMARY KEY (id),
    CONSTRAINT uq_dispensing_scan_task_id_line_id_code UNIQUE (task_id, line_id, code)
);

CREATE TABLE dispensing_task (
    prescription_id BIGINT NOT NULL,
    settlement_id BIGINT NOT NULL,
    person_id BIGINT NOT NULL,
    store_id BIGINT NOT NULL,
    window_id BIGINT,
    state VARCHAR(10 CHAR) NOT NULL,
    arrived_at TIMESTAMP(6) NOT NULL,
    business_date DATE NOT NULL,
    call_state VARCHAR(10 CHAR) NOT NULL,
    called_at TIMESTAMP(6),
    calls INTEGER NOT NULL,
    reviewed_by BIGINT,
    reviewed_by_name VARCHAR(60 CHAR) NOT NULL,
    reviewed_at TIMESTAMP(6),
    review_note VARCHAR(200 CHAR) NOT NULL,
    answered_by_name VARCHAR(60 CHAR) NOT NULL,
    answered_at TIMESTAMP(6),
    answer VARCHAR(200 CHAR) NOT NULL,
    picked_by BIGINT,
    picked_by_name VARCHAR(60 CHAR) NOT NULL,
    picked_at TIMESTAMP(6),
    checked_by BIGINT,
    checked_by_name VARCHAR(60 CHAR) NOT NULL,
    finished_at TIMESTAMP(6),
    changed_at TIMESTAMP(6) NOT NULL,
    changed_by_name VARCHAR(60 CHAR) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_dispensing_task PRIMARY KEY (id),
    CONSTRAINT uq_dispensing_task_prescription_id_settlement_id UNIQUE (prescription_id, settlement_id)
);
CREATE INDEX ix_dispensing_task_day ON dispensing_task (store_id, business_date);
CREATE INDEX ix_dispensing_task_person ON dispensing_task (person_id, business_date);
CREATE INDEX ix_dispensing_task_queue ON dispensing_task (store_id, state, arrived_at);
CREATE INDEX ix_dispensing_task_settlement ON dispensing_task (settlement_id);

CREATE TABLE drug (
    code VARCHAR(40 CHAR) NOT NULL,
    name VARCHAR(120 CHAR) NOT NULL,
    form VARCHAR(40 CHAR) NOT NULL,
    spec VARCHAR(80 CHAR) NOT NULL,
    dose_amount DECIMAL(18, 4),
    dose_unit VARCHAR(20 CHAR) NOT NULL,
    base_unit VARCHAR(20 CHAR) NOT NULL,
    pack_unit VARCHAR(20 CHAR) NOT NULL,
    pack_size INTEGER NOT NULL,
    manufacturer VARCHAR(120 CHAR) NOT NULL,
    fiscal_category VARCHAR(4 CHAR) NOT NULL,
    control VARCHAR(10 CHAR) NOT NULL,
    antimicrobial VARCHAR(10 CHAR) NOT NULL,
    tb BIT NOT NULL,
    skin_test BIT NOT NULL,
    splittable BIT NOT NULL,
    insurance_level VARCHAR(4 CHAR) NOT NULL,
    default_usage VARCHAR(20 CHAR) NOT NULL,
    default_frequency VARCHAR(20 CHAR) NOT NULL,
    otc BIT NOT NULL,
    ingredient VARCHAR(60 CHAR) NOT NULL,
    drug_class VARCHAR(30 CHAR) NOT NULL,
    release VARCHAR(10 CHAR) NOT NULL,
    max_dose DECIMAL(18, 4),
    max_daily DECIMAL(18, 4),
    chronic_infections VARCHAR(20 CHAR) NOT NULL,
    aliases VARCHAR(200 CHAR) NOT NULL,
    active BIT NOT NULL,
    revision INTEGER NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_drug PRIMARY KEY (id),
    CONSTRAINT ck_drug_pack_size CHECK (pack_size > 0),
    CONSTRAINT uq_drug_code UNIQUE (code)
);

CREATE TABLE drug_check (
    person_id BIGINT NOT NULL,
    digest VARCHAR(64 CHAR) NOT NULL,
    state VARCHAR(12 CHAR) NOT NULL,
    checked_at TIMESTAMP(6) NOT NULL,
    checked_by BIGINT NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_drug_check PRIMARY KEY (id)
);
CREATE INDEX ix_drug_check_person ON drug_check (person_id, checked_at);

CREATE TABLE drug_check_finding (
    check_id BIGINT NOT NULL,
    "level" VARCHAR(10 CHAR) NOT NULL,
    kind VARCHAR(20 CHAR) NOT NULL,
    field VARCHAR(60 CHAR) NOT NULL,
    message_sealed BLOB NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_drug_check_finding PRIMARY KEY (id),
    CONSTRAINT fk_drug_check_finding_check_id FOREIGN KEY(check_id) REFERENCES drug_check (id)
);
CREATE INDEX ix_drug_check_finding_check_id ON drug_check_finding (check_id);

CREATE TABLE drug_location (
    store_id BIGINT NOT NULL,
    drug_id BIGINT NOT NULL,
    shelf VARCHAR(20 CHAR) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_drug_location PRIMARY KEY (id),
    CONSTRAINT uq_drug_location_store_id_drug_id UNIQUE (store_id, drug_id)
);

CREATE TABLE drug_match (
    drug_id BIGINT NOT NULL,
    product_id BIGINT NOT NULL,
    ratio DECIMAL(18, 4) NOT NULL,
    preferred BIT NOT NULL,
    matched_at TIMESTAMP(6) NOT NULL,
    matched_by_name VARCHAR(60 CHAR) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_drug_match PRIMARY KEY (id),
    CONSTRAINT uq_drug_match_drug_id_product_id UNIQUE (drug_id, product_id),
    CONSTRAINT fk_drug_match_product_id FOREIGN KEY(product_id) REFERENCES platform_product (id)
);
CREATE INDEX ix_drug_match_product ON drug_match (product_id);

CREATE TABLE drug_notice (
    "number" VARCHAR(32 CHAR) NOT NULL,
    kind VARCHAR(12 CHAR) NOT NULL,
    drug_id BIGINT NOT NULL,
    reason VARCHAR(300 CHAR) NOT NULL,
    substitute VARCHAR(200 CHAR) NOT NULL,
    state VARCHAR(10 CHAR) NOT NULL,
    valid_from DATE NOT NULL,
    valid_to DATE,
    made_at TIMESTAMP(6) NOT NULL,
    made_by_name VARCHAR(60 CHAR) NOT NULL,
    ended_at TIMESTAMP(6),
    ended_by_name VARCHAR(60 CHAR),
    end_reason VARCHAR(200 CHAR) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_drug_notice PRIMARY KEY (id),
    CONSTRAINT uq_drug_notice_number UNIQUE ("number")
);
CREATE INDEX ix_drug_notice_drug ON drug_notice (drug_id, state);
CREATE INDEX ix_drug_notice_made ON drug_notice (made_at);

CREATE TABLE drug_notice_read (
    notice_id BIGINT NOT NULL,
    user_id BIGINT NOT NULL,
    user_name VARCHAR(60 CHAR) NOT NULL,
    read_at TIMESTAMP(6) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_drug_notice_read PRIMARY KEY (id),
    CONSTRAINT uq_drug_notice_read_notice_id_user_id UNIQUE (notice_id, user_id)
);
CREATE INDEX ix_drug_notice_read_user_id ON drug_notice_read (user_id);

CREATE TABLE drug_price (
    drug_id BIGINT NOT NULL,
    pack_price DECIMAL(18, 4) NOT NULL,
    valid_from DATE NOT NULL,
    valid_to DATE,
    changed_by BIGINT NOT NULL,
    changed_at TIMESTAMP(6),
    reason VARCHAR(200 CHAR) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_drug_price PRIMARY KEY (id),
    CONSTRAINT uq_drug_price_drug_id_valid_from UNIQUE (drug_id, valid_from),
    CONSTRAINT ck_drug_price_order CHECK (valid_to IS NULL OR valid_to > valid_from),
    CONSTRAINT ck_drug_price_price CHECK (pack_price >= 0),
    CONSTRAINT fk_drug_price_drug_id FOREIGN KEY(drug_id) REFERENCES drug (id)
);

CREATE TABLE drug_price_change (
    "number" VARCHAR(32 CHAR) NOT NULL,
    drug_id BIGINT NOT NULL,
    old_price DECIMAL(18, 4) NOT NULL,
    new_price DECIMAL(18, 4) NOT NULL,
    valid_from DATE NOT NULL,
    reason VARCHAR(200 CHAR) NOT NULL,
    state VARCHAR(10 CHAR) NOT NULL,
    amount DECIMAL(18, 2),
    made_at TIMESTAMP(6) NOT NULL,
    made_by_name VARCHAR(60 CHAR) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_drug_price_change PRIMARY KEY (id),
    CONSTRAINT uq_drug_price_change_number UNIQUE ("number")
);
CREATE INDEX ix_drug_price_change_drug ON drug_price_change (drug_id, valid_from);
CREATE INDEX ix_drug_price_change_due ON drug_price_change (state, valid_from);

CREATE TABLE drug_price_limit (
    drug_id BIGINT NOT NULL,
    pack_price DECIMAL(18, 4) NOT NULL,
    valid_from DATE NOT NULL,
    valid_to DATE,
    reason VARCHAR(200 CHAR) NOT NULL,
    changed_by BIGINT NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_drug_price_limit PRIMARY KEY (id),
    CONSTRAINT uq_drug_price_limit_drug_id_valid_from UNIQUE (drug_id, valid_from),
    CONSTRAINT ck_drug_price_limit_order CHECK (valid_to IS NULL OR valid_to > valid_from),
    CONSTRAINT fk_drug_price_limit_drug_id FOREIGN KEY(drug_id) REFERENCES drug (id)
);

CREATE TABLE drug_return (
    "number" VARCHAR(32 CHAR) NOT NULL,
    prescription_id BIGINT NOT NULL,
    person_id BIGINT NOT NULL,
    store_id BIGINT NOT NULL,
    state VARCHAR(10 CHAR) NOT NULL,
    reason VARCHAR(200 CHAR) NOT NULL,
    amount DECIMAL(18, 2) NOT NULL,
    controlled BIT NOT NULL,
    automatic BIT NOT NULL,
    requested_at TIMESTAMP(6) NOT NULL,
    requested_by BIGINT NOT NULL,
    requested_by_name VARCHAR(60 CHAR) NOT NULL,
    business_date DATE NOT NULL,
    reviewed_at TIMESTAMP(6),
    reviewed_by_name VARCHAR(60 CHAR) NOT NULL,
    review_note VARCHAR(200 CHAR) NOT NULL,
    accepted_at TIMESTAMP(6),
    accepted_by BIGINT,
    accepted_by_name VARCHAR(60 CHAR) NOT NULL,
    refunded_at TIMESTAMP(6),
    rereviewed_at TIMESTAMP(6),
    rereviewed_by_name VARCHAR(60 CHAR) NOT NULL,
    rereview VARCHAR(10 CHAR) NOT NULL,
    rereview_note VARCHAR(200 CHAR) NOT NULL,
    cancel_reason VARCHAR(200 CHAR),
    changed_at TIMESTAMP(6) NOT NULL,
    changed_by_name VARCHAR(60 CHAR) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_drug_return PRIMARY KEY (id),
    CONSTRAINT uq_drug_return_number UNIQUE ("number")
);
CREATE INDEX ix_drug_return_morning ON drug_return (store_id, automatic, rereviewed_at);
CREATE INDEX ix_drug_return_prescription ON drug_return (prescription_id);
CREATE INDEX ix_drug_return_store ON drug_return (store_id, state, business_date);

CREATE TABLE drug_return_batch (
    return_line_id BIGINT NOT NULL,
    batch_id BIGINT NOT NULL,
    quantity DECIMAL(18, 4) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_drug_return_batch PRIMARY KEY (id),
    CONSTRAINT fk_drug_return_batch_return_line_id FOREIGN KEY(return_line_id) REFERENCES drug_return_line (id)
);
CREATE INDEX ix_drug_return_batch_return_line_id ON drug_return_batch (return_line_id);

CREATE TABLE drug_return_line (
    return_id BIGINT NOT NULL,
    prescription_line_id BIGINT NOT NULL,
    charge_line_id BIGINT NOT NULL,
    drug_id BIGINT NOT NULL,
    quantity DECIMAL(18, 4) NOT NULL,
    refunded DECIMAL(18, 4) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_drug_return_line PRIMARY KEY (id),
    CONSTRAINT ck_drug_return_line_bounds CHECK (refunded >= 0 AND refunded <= quantity),
    CONSTRAINT fk_drug_return_line_return_id FOREIGN KEY(return_id) REFERENCES drug_return (id)
);
CREATE INDEX ix_drug_return_line_charge_line_id ON drug_return_line (charge_line_id);
CREATE INDEX ix_drug_return_line_return_id ON drug_return_line (return_id);

CREATE TABLE drug_revaluation (
    change_id BIGINT NOT NULL,
    store_id BIGINT NOT NULL,
    quantity DECIMAL(18, 4) NOT NULL,
    before DECIMAL(18, 2) NOT NULL,
    after DECIMAL(18, 2) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_drug_revaluation PRIMARY KEY (id),
    CONSTRAINT uq_drug_revaluation_change_id_store_id UNIQUE (change_id, store_id),
    CONSTRAINT fk_drug_revaluation_change_id FOREIGN KEY(change_id) REFERENCES drug_price_change (id)
);

CREATE TABLE drug_search (
    owner_id BIGINT NOT NULL,
    kind VARCHAR(8 CHAR) NOT NULL,
    search_key VARCHAR(64 CHAR) NOT NULL,
    part SMALLINT NOT NULL,
    CONSTRAINT pk_drug_search PRIMARY KEY (owner_id, kind, search_key),
    CONSTRAINT fk_drug_search_owner_id FOREIGN KEY(owner_id) REFERENCES drug (id) ON DELETE CASCADE
);
CREATE INDEX ix_drug_search_key ON drug_search (part, search_key, owner_id, kind);

CREATE TABLE ecard_reading (
    raw_index VARCHAR(64 CHAR) NOT NULL,
    card_no_sealed BLOB,
    serial_sealed BLOB,
    expires_at TIMESTAMP(6) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_ecard_reading PRIMARY KEY (id),
    CONSTRAINT uq_ecard_reading_raw_index UNIQUE (raw_index)
);
CREATE INDEX ix_ecard_reading_end ON ecard_reading (expires_at);

CREATE TABLE electronic_invoice (
    intent_id BIGINT NOT NULL,
    settlement_id BIGINT NOT NULL,
    root_id BIGINT NOT NULL,
    person_id BIGINT NOT NULL,
    colour VARCHAR(4 CHAR) NOT NULL,
    kind VARCHAR(12 CHAR) NOT NULL,
    state VARCHAR(10 CHAR) NOT NULL,
    amount DECIMAL(18, 2) NOT NULL,
    code VARCHAR(20 CHAR),
    invoice_number VARCHAR(20 CHAR),
    check_code VARCHAR(20 CHAR),
    picture_url VARCHAR(300 CHAR),
    original_id BIGINT,
    after_id BIGINT,
    reason VARCHAR(200 CHAR),
    cashier_id BIGINT NOT NULL,
    cashier_name VARCHAR(60 CHAR) NOT NULL,
    business_date DATE NOT NULL,
    made_at TIMESTAMP(6) NOT NULL,
    issued_at TIMESTAMP(6),
    id BIGINT NOT NULL,
    CONSTRAINT pk_electronic_invoice PRIMARY KEY (id),
    CONSTRAINT uq_electronic_invoice_intent_id UNIQUE (intent_id),
    CONSTRAINT uq_electronic_invoice_settlement_id_colour UNIQUE (settlement_id, colour),
    CONSTRAINT uq_electronic_invoice_original_id UNIQUE (original_id)
);
CREATE INDEX ix_electronic_invoice_cashier ON electronic_invoice (cashier_id, business_date, id);
CREATE INDEX ix_electronic_invoice_day ON electronic_invoice (business_date, id);
CREATE INDEX ix_electronic_invoice_number ON electronic_invoice (invoice_number);
CREATE INDEX ix_electronic_invoice_person ON electronic_invoice (person_id, business_date, id);
CREATE INDEX ix_electronic_invoice_root ON electronic_invoice (root_id);
CREATE INDEX ix_electronic_invoice_state ON electronic_invoice (state, business_date, id);

CREATE TABLE encounter (
    visit_no VARCHAR(20 CHAR) NOT NULL,
    person_id BIGINT NOT NULL,
    kind VARCHAR(10 CHAR) NOT NULL,
    department_id BIGINT NOT NULL,
    doctor_id BIGINT,
    state VARCHAR(10 CHAR) NOT NULL,
    insurance VARCHAR(20 CHAR) NOT NULL,
    started_at TIMESTAMP(6) NOT NULL,
    business_date DATE NOT NULL,
    changed_at TIMESTAMP(6) NOT NULL,
    changed_by BIGINT NOT NULL,
    changed_by_name VARCHAR(60 CHAR) NOT NULL,
    cancel_reason VARCHAR(200 CHAR),
    row_mac VARCHAR(64 CHAR),
    id BIGINT NOT NULL,
    CONSTRAINT pk_encounter PRIMARY KEY (id),
    CONSTRAINT uq_encounter_visit_no UNIQUE (visit_no)
);
CREATE INDEX ix_encounter_day ON encounter (business_date, department_id, state);
CREATE INDEX ix_encounter_person ON encounter (person_id, business_date);

CREATE TABLE export_request (
    report VARCHAR(60 CHAR) NOT NULL,
    title VARCHAR(100 CHAR) NOT NULL,
    filters CLOB NOT NULL,
    row_count BIGINT NOT NULL,
    reason VARCHAR(200 CHAR) NOT NULL,
    state VARCHAR(10 CHAR) NOT NULL,
    requested_by BIGINT NOT NULL,
    requested_by_name VARCHAR(60 CHAR) NOT NULL,
    requested_at TIMESTAMP(6) NOT NULL,
    decided_by BIGINT,
    decided_by_name VARCHAR(60 CHAR),
    decided_at TIMESTAMP(6),
    valid_until TIMESTAMP(6),
    id BIGINT NOT NULL,
    CONSTRAINT pk_export_request PRIMARY KEY (id)
);
CREATE INDEX ix_export_request_mine ON export_request (requested_by, report, requested_at);
CREATE INDEX ix_export_request_state ON export_request (state, requested_at, id);

CREATE TABLE extra_slot (
    session_id BIGINT NOT NULL,
    person_id BIGINT NOT NULL,
    reason VARCHAR(200 CHAR) NOT NULL,
    state VARCHAR(10 CHAR) NOT NULL,
    granted_at TIMESTAMP(6) NOT NULL,
    granted_by BIGINT NOT NULL,
    granted_by_name VARCHAR(60 CHAR) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_extra_slot PRIMARY KEY (id),
    CONSTRAINT uq_extra_slot_session_id_person_id UNIQUE (session_id, person_id),
    CONSTRAINT fk_extra_slot_session_id FOREIGN KEY(session_id) REFERENCES clinic_session (id)
);
CREATE INDEX ix_extra_slot_person_id ON extra_slot (person_id);

CREATE TABLE field_change (
    entity VARCHAR(60 CHAR) NOT NULL,
    entity_id BIGINT NOT NULL,
    field VARCHAR(60 CHAR) NOT NULL,
    before_sealed BLOB,
    after_sealed BLOB,
    changed_at TIMESTAMP(6) NOT NULL,
    changed_by BIGINT NOT NULL,
    changed_by_name VARCHAR(60 CHAR) NOT NULL,
    terminal VARCHAR(60 CHAR) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_field_change PRIMARY KEY (id)
);
CREATE INDEX ix_field_change_row ON field_change (entity, entity_id, changed_at);

CREATE TABLE frequency (
    code VARCHAR(20 CHAR) NOT NULL,
    name VARCHAR(40 CHAR) NOT NULL,
    times_per_day INTEGER,
    interval_days INTEGER,
    id BIGINT NOT NULL,
    CONSTRAINT pk_frequency PRIMARY KEY (id),
    CONSTRAINT uq_frequency_code UNIQUE (code)
);

CREATE TABLE goods_receipt (
    "number" VARCHAR(32 CHAR) NOT NULL,
    order_id BIGINT,
    supplier_id BIGINT NOT NULL,
    store_id BIGINT NOT NULL,
    state VARCHAR(12 CHAR) NOT NULL,
    strict BIT NOT NULL,
    delivery_number VARCHAR(60 CHAR) NOT NULL,
    amount DECIMAL(18, 2) NOT NULL,
    invoice_id BIGINT,
    made_at TIMESTAMP(6) NOT NULL,
    made_by BIGINT NOT NULL,
    made_by_name VARCHAR(60 CHAR) NOT NULL,
    changed_at TIMESTAMP(6) NOT NULL,
    changed_by_name VARCHAR(60 CHAR) NOT NULL,
    cancel_reason VARCHAR(200 CHAR),
    id BIGINT NOT NULL,
    CONSTRAINT pk_goods_receipt PRIMARY KEY (id),
    CONSTRAINT uq_goods_receipt_number UNIQUE ("number"),
    CONSTRAINT fk_goods_receipt_order_id FOREIGN KEY(order_id) REFERENCES purchase_order (id),
    CONSTRAINT fk_goods_receipt_supplier_id FOREIGN KEY(supplier_id) REFERENCES supplier (id)
);
CREATE INDEX ix_goods_receipt_order_id ON goods_receipt (order_id);
CREATE INDEX ix_goods_receipt_payable ON goods_receipt (supplier_id, invoice_id);
CREATE INDEX ix_goods_receipt_store ON goods_receipt (store_id, made_at);

CREATE TABLE goods_receipt_code (
    receipt_id BIGINT NOT NULL,
    line_id BIGINT NOT NULL,
    code VARCHAR(100 CHAR) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_goods_receipt_code PRIMARY KEY (id),
    CONSTRAINT uq_goods_receipt_code_receipt_id_code UNIQUE (receipt_id, code),
    CONSTRAINT fk_goods_receipt_code_receipt_id FOREIGN KEY(receipt_id) REFERENCES goods_receipt (id)
);

CREATE TABLE goods_receipt_line (
    receipt_id BIGINT NOT NULL,
    position INTEGER NOT NULL,
    order_line_id BIGINT,
    delivery_id BIGINT,
    drug_id BIGINT NOT NULL,
    lot_no VARCHAR(40 CHAR) NOT NULL,
    expiry DATE NOT NULL,
    pack_cost DECIMAL(18, 4) NOT NULL,
    pack_size INTEGER NOT NULL,
    arrived DECIMAL(18, 4) NOT NULL,
    accepted DECIMAL(18, 4) NOT NULL,
    reject_reason VARCHAR(200 CHAR) NOT NULL,
    batch_id BIGINT,
    id BIGINT NOT NULL,
    CONSTRAINT pk_goods_receipt_line PRIMARY KEY (id),
    CONSTRAINT uq_goods_receipt_line_receipt_id_position UNIQUE (receipt_id, position),
    CONSTRAINT ck_goods_receipt_line_accepted CHECK (accepted >= 0 AND accepted <= arrived),
    CONSTRAINT fk_goods_receipt_line_receipt_id FOREIGN KEY(receipt_id) REFERENCES goods_receipt (id)
);

CREATE TABLE idempotency_key (
    actor_id BIGINT NOT NULL,
    key VARCHAR(80 CHAR) NOT NULL,
    request_hash VARCHAR(64 CHAR) NOT NULL,
    status INTEGER NOT NULL,
    body_sealed BLOB NOT NULL,
    created_at TIMESTAMP(6) NOT NULL,
    CONSTRAINT pk_idempotency_key PRIMARY KEY (actor_id, key)
);
CREATE INDEX ix_idempotency_key_created_at ON idempotency_key (created_at);

CREATE TABLE infusion (
    "number" VARCHAR(20 CHAR) NOT NULL,
    queue_no INTEGER NOT NULL,
    person_id BIGINT NOT NULL,
    encounter_id BIGINT NOT NULL,
    prescription_id BIGINT NOT NULL,
    prescription_number VARCHAR(32 CHAR) NOT NULL,
    department_id BIGINT NOT NULL,
    kind VARCHAR(10 CHAR) NOT NULL,
    doctor_name VARCHAR(60 CHAR) NOT NULL,
    business_date DATE NOT NULL,
    state VARCHAR(10 CHAR) NOT NULL,
    seat_id BIGINT,
    running_bottle_id BIGINT,
    received_at TIMESTAMP(6) NOT NULL,
    received_by_name VARCHAR(60 CHAR) NOT NULL,
    looked_at TIMESTAMP(6),
    changed_at TIMESTAMP(6) NOT NULL,
    changed_by_name VARCHAR(60 CHAR) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_infusion PRIMARY KEY (id),
    CONSTRAINT uq_infusion_prescription_id_business_date UNIQUE (prescription_id, business_date),
    CONSTRAINT uq_infusion_number UNIQUE ("number")
);
CREATE INDEX ix_infusion_day ON infusion (business_date, state, queue_no);
CREATE INDEX ix_infusion_person ON infusion (person_id, business_date);

CREATE TABLE infusion_bottle (
    infusion_id BIGINT NOT NULL,
    prescription_id BIGINT NOT NULL,
    group_key BIGINT NOT NULL,
    turn INTEGER NOT NULL,
    position INTEGER NOT NULL,
    label_no VARCHAR(20 CHAR) NOT NULL,
    usage VARCHAR(20 CHAR) NOT NULL,
    frequency VARCHAR(20 CHAR) NOT NULL,
    state VARCHAR(10 CHAR) NOT NULL,
    speed INTEGER,
    prints INTEGER NOT NULL,
    prepared_at TIMESTAMP(6),
    prepared_by_name VARCHAR(60 CHAR) NOT NULL,
    started_at TIMESTAMP(6),
    started_by_name VARCHAR(60 CHAR) NOT NULL,
    ended_at TIMESTAMP(6),
    ended_by_name VARCHAR(60 CHAR) NOT NULL,
    reason VARCHAR(100 CHAR) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_infusion_bottle PRIMARY KEY (id),
    CONSTRAINT uq_infusion_bottle_prescription_id_group_key_turn UNIQUE (prescription_id, group_key, turn),
    CONSTRAINT fk_infusion_bottle_infusion_id FOREIGN KEY(infusion_id) REFERENCES infusion (id),
    CONSTRAINT uq_infusion_bottle_label_no UNIQUE (label_no)
);
CREATE INDEX ix_infusion_bottle_infusion ON infusion_bottle (infusion_id, position);

CREATE TABLE infusion_bottle_drug (
    bottle_id BIGINT NOT NULL,
    line_id BIGINT NOT NULL,
    drug_id BIGINT NOT NULL,
    name VARCHAR(120 CHAR) NOT NULL,
    spec VARCHAR(80 CHAR) NOT NULL,
    dose DECIMAL(18, 4) NOT NULL,
    dose_unit VARCHAR(20 CHAR) NOT NULL,
    skin_test BIT NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_infusion_bottle_drug PRIMARY KEY (id),
    CONSTRAINT fk_infusion_bottle_drug_bottle_id FOREIGN KEY(bottle_id) REFERENCES infusion_bottle (id)
);
CREATE INDEX ix_infusion_bottle_drug_bottle_id ON infusion_bottle_drug (bottle_id);

CREATE TABLE infusion_round (
    infusion_id BIGINT NOT NULL,
    bottle_id BIGINT NOT NULL,
    condition VARCHAR(10 CHAR) NOT NULL,
    speed INTEGER,
    note_sealed BLOB,
    looked_at TIMESTAMP(6) NOT NULL,
    looked_by_name VARCHAR(60 CHAR) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_infusion_round PRIMARY KEY (id),
    CONSTRAINT fk_infusion_round_infusion_id FOREIGN KEY(infusion_id) REFERENCES infusion (id)
);
CREATE INDEX ix_infusion_round_infusion ON infusion_round (infusion_id, looked_at);

CREATE TABLE infusion_seat (
    code VARCHAR(10 CHAR) NOT NULL,
    area VARCHAR(20 CHAR) NOT NULL,
    kind VARCHAR(10 CHAR) NOT NULL,
    position INTEGER NOT NULL,
    active BIT NOT NULL,
    infusion_id BIGINT,
    changed_at TIMESTAMP(6) NOT NULL,
    changed_by_name VARCHAR(60 CHAR) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_infusion_seat PRIMARY KEY (id),
    CONSTRAINT uq_infusion_seat_infusion_id UNIQUE (infusion_id),
    CONSTRAINT uq_infusion_seat_code UNIQUE (code)
);

CREATE TABLE insurance_claim (
    intent_id BIGINT NOT NULL,
    kind VARCHAR(12 CHAR) NOT NULL,
    person_id BIGINT NOT NULL,
    encounter_id BIGINT NOT NULL,
    settlement_id BIGINT,
    replaces_id BIGINT,
    insurance VARCHAR(6 CHAR) NOT NULL,
    area VARCHAR(6 CHAR) NOT NULL,
    use_account BIT NOT NULL,
    member_no_sealed BLOB,
    total DECIMAL(18, 2) NOT NULL,
    fund DECIMAL(18, 2) NOT NULL,
    account DECIMAL(18, 2) NOT NULL,
    shared_account DECIMAL(18, 2) NOT NULL,
    cash DECIMAL(18, 2) NOT NULL,
    hospital DECIMAL(18, 2) NOT NULL,
    own_expense DECIMAL(18, 2) NOT NULL,
    over_limit DECIMAL(18, 2) NOT NULL,
    self_first DECIMAL(18, 2) NOT NULL,
    in_scope DECIMAL(18, 2) NOT NULL,
    balance DECIMAL(18, 2),
    peer_visit VARCHAR(40 CHAR),
    answered VARCHAR(200 CHAR),
    plan CLOB NOT NULL,
    made_at TIMESTAMP(6) NOT NULL,
    clearing VARCHAR(6 CHAR) NOT NULL,
    agency VARCHAR(6 CHAR),
    peer_settled_at TIMESTAMP(6),
    peer_reversed_at TIMESTAMP(6),
    id BIGINT NOT NULL,
    CONSTRAINT pk_insurance_claim PRIMARY KEY (id),
    CONSTRAINT uq_insurance_claim_intent_id UNIQUE (intent_id)
);
CREATE INDEX ix_insurance_claim_person ON insurance_claim (person_id);
CREATE INDEX ix_insurance_claim_reversed_at ON insurance_claim (peer_reversed_at, id);
CREATE INDEX ix_insurance_claim_settled ON insurance_claim (settlement_id);
CREATE INDEX ix_insurance_claim_settled_at ON insurance_claim (peer_settled_at, id);

CREATE TABLE insurance_conversion (
    settlement_id BIGINT NOT NULL,
    live INTEGER,
    claim_id BIGINT NOT NULL,
    state VARCHAR(10 CHAR) NOT NULL,
    booked_id BIGINT,
    approval_id BIGINT,
    request_key VARCHAR(120 CHAR),
    message VARCHAR(200 CHAR),
    channel VARCHAR(20 CHAR) NOT NULL,
    opened_at TIMESTAMP(6) NOT NULL,
    opened_by BIGINT NOT NULL,
    opened_by_name VARCHAR(60 CHAR) NOT NULL,
    changed_at TIMESTAMP(6) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_insurance_conversion PRIMARY KEY (id),
    CONSTRAINT uq_insurance_conversion_settlement_id_live UNIQUE (settlement_id, live),
    CONSTRAINT uq_insurance_conversion_claim_id UNIQUE (claim_id),
    CONSTRAINT uq_insurance_conversion_request_key UNIQUE (request_key)
);
CREATE INDEX ix_insurance_conversion_state ON insurance_conversion (state, changed_at);

CREATE TABLE insurance_difference (
    statement_id BIGINT NOT NULL,
    kind VARCHAR(14 CHAR) NOT NULL,
    peer_key VARCHAR(64 CHAR) NOT NULL,
    claim_id BIGINT,
    peer_number VARCHAR(40 CHAR) NOT NULL,
    peer_visit VARCHAR(40 CHAR) NOT NULL,
    message_id VARCHAR(40 CHAR) NOT NULL,
    member_no_sealed BLOB,
    refund BIT NOT NULL,
    our_total DECIMAL(18, 2),
    our_fund DECIMAL(18, 2),
    our_account DECIMAL(18, 2),
    their_total DECIMAL(18, 2),
    their_fund DECIMAL(18, 2),
    their_account DECIMAL(18, 2),
    memo VARCHAR(200 CHAR) NOT NULL,
    state VARCHAR(10 CHAR) NOT NULL,
    "number" VARCHAR(40 CHAR),
    reason VARCHAR(200 CHAR),
    message VARCHAR(200 CHAR),
    found_at TIMESTAMP(6) NOT NULL,
    proposed_by BIGINT,
    proposed_by_name VARCHAR(60 CHAR),
    decided_by BIGINT,
    decided_by_name VARCHAR(60 CHAR),
    decided_at TIMESTAMP(6),
    id BIGINT NOT NULL,
    CONSTRAINT pk_insurance_difference PRIMARY KEY (id),
    CONSTRAINT uq_insurance_difference_statement_id_kind_peer_key UNIQUE (statement_id, kind, peer_key)
);
CREATE INDEX ix_insurance_difference_state ON insurance_difference (state, id);

CREATE TABLE insurance_entry (
    list_type VARCHAR(3 CHAR) NOT NULL,
    code VARCHAR(50 CHAR) NOT NULL,
    name VARCHAR(200 CHAR) NOT NULL,
    spec VARCHAR(200 CHAR) NOT NULL,
    manufacturer VARCHAR(200 CHAR) NOT NULL,
    unit VARCHAR(50 CHAR) NOT NULL,
    "level" VARCHAR(3 CHAR) NOT NULL,
    limit_price DECIMAL(18, 4),
    valid_from DATE,
    valid_to DATE,
    active BIT NOT NULL,
    version VARCHAR(20 CHAR) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_insurance_entry PRIMARY KEY (id),
    CONSTRAINT uq_insurance_entry_list_type_code UNIQUE (list_type, code)
);
CREATE INDEX ix_insurance_entry_name ON insurance_entry (list_type, name, id);

CREATE TABLE insurance_mapping (
    kind VARCHAR(4 CHAR) NOT NULL,
    code VARCHAR(40 CHAR) NOT NULL,
    list_type VARCHAR(3 CHAR) NOT NULL,
    national VARCHAR(50 CHAR) NOT NULL,
    valid_from DATE NOT NULL,
    valid_to DATE,
    state VARCHAR(10 CHAR) NOT NULL,
    message VARCHAR(200 CHAR) NOT NULL,
    changed_at TIMESTAMP(6),
    changed_by_name VARCHAR(60 CHAR) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_insurance_mapping PRIMARY KEY (id),
    CONSTRAINT uq_insurance_mapping_kind_code_valid_from UNIQUE (kind, code, valid_from),
    CONSTRAINT ck_insurance_mapping_order CHECK (valid_to IS NULL OR valid_to > valid_from)
);
CREATE INDEX ix_insurance_mapping_national ON insurance_mapping (national);
CREATE INDEX ix_insurance_mapping_state ON insurance_mapping (state, id);

CREATE TABLE insurance_statement (
    "number" VARCHAR(40 CHAR) NOT NULL,
    monthly INTEGER NOT NULL,
    begin_day DATE NOT NULL,
    end_day DATE NOT NULL,
    insurance VARCHAR(6 CHAR) NOT NULL,
    clearing VARCHAR(6 CHAR) NOT NULL,
    agency VARCHAR(6 CHAR) NOT NULL,
    revision INTEGER NOT NULL,
    live INTEGER,
    state VARCHAR(10 CHAR) NOT NULL,
    pending VARCHAR(10 CHAR),
    entries INTEGER NOT NULL,
    refunds INTEGER NOT NULL,
    total DECIMAL(18, 2) NOT NULL,
    fund DECIMAL(18, 2) NOT NULL,
    account DECIMAL(18, 2) NOT NULL,
    cash DECIMAL(18, 2) NOT NULL,
    hospital DECIMAL(18, 2) NOT NULL,
    handover_no VARCHAR(64 CHAR),
    message VARCHAR(200 CHAR),
    made_at TIMESTAMP(6) NOT NULL,
    changed_at TIMESTAMP(6) NOT NULL,
    changed_by_name VARCHAR(60 CHAR) NOT NULL,
    compared_at TIMESTAMP(6),
    confirmed_at TIMESTAMP(6),
    id BIGINT NOT NULL,
    CONSTRAINT pk_insurance_statement PRIMARY KEY (id),
    CONSTRAINT uq_insurance_statement_number UNIQUE ("number"),
    CONSTRAINT uq_insurance_statement_monthly_begin_day_insurance_clearing_agency_live UNIQUE (monthly, begin_day, insurance, clearing, agency, live)
);
CREATE INDEX ix_insurance_statement_day ON insurance_statement (monthly, begin_day, id);
CREATE INDEX ix_insurance_statement_pending ON insurance_statement (pending, changed_at);

CREATE TABLE integrity_head (
    scope VARCHAR(40 CHAR) NOT NULL,
    version BIGINT NOT NULL,
    "sets" INTEGER NOT NULL,
    digest VARCHAR(64 CHAR) NOT NULL,
    CONSTRAINT pk_integrity_head PRIMARY KEY (scope)
);

CREATE TABLE integrity_set (
    scope VARCHAR(40 CHAR) NOT NULL,
    owner VARCHAR(60 CHAR) NOT NULL,
    version BIGINT NOT NULL,
    mac VARCHAR(64 CHAR) NOT NULL,
    CONSTRAINT pk_integrity_set PRIMARY KEY (scope, owner)
);

CREATE TABLE intent (
    "number" VARCHAR(40 CHAR) NOT NULL,
    purpose VARCHAR(10 CHAR) NOT NULL,
    channel VARCHAR(20 CHAR) NOT NULL,
    person_id BIGINT NOT NULL,
    amount DECIMAL(18, 2) NOT NULL,
    state VARCHAR(12 CHAR) NOT NULL,
    settlement_id BIGINT,
    returns_intent_id BIGINT,
    held_by_id BIGINT,
    peer_number VARCHAR(64 CHAR),
    message VARCHAR(200 CHAR),
    tries INTEGER NOT NULL,
    created_at TIMESTAMP(6) NOT NULL,
    created_by BIGINT NOT NULL,
    created_by_name VARCHAR(60 CHAR) NOT NULL,
    changed_at TIMESTAMP(6) NOT NULL,
    owner_id BIGINT,
    owner_name VARCHAR(60 CHAR),
    decision VARCHAR(200 CHAR),
    decided_by BIGINT,
    decided_by_name VARCHAR(60 CHAR),
    decided_at TIMESTAMP(6),
    id BIGINT NOT NULL,
    CONSTRAINT pk_intent PRIMARY KEY (id),
    CONSTRAINT uq_intent_number UNIQUE ("number")
);
CREATE INDEX ix_intent_channel ON intent (channel, purpose, id);
CREATE INDEX ix_intent_held_by ON intent (held_by_id);
CREATE INDEX ix_intent_person ON intent (person_id);
CREATE INDEX ix_intent_state ON intent (state, changed_at);

CREATE TABLE intent_try (
    intent_id BIGINT NOT NULL,
    act VARCHAR(12 CHAR) NOT NULL,
    at TIMESTAMP(6) NOT NULL,
    outcome VARCHAR(12 CHAR) NOT NULL,
    message VARCHAR(200 CHAR),
    cause VARCHAR(30 CHAR),
    by_name VARCHAR(60 CHAR) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_intent_try PRIMARY KEY (id)
);
CREATE INDEX ix_intent_try_at ON intent_try (at, id);
CREATE INDEX ix_intent_try_intent ON intent_try (intent_id, at);

CREATE TABLE interface_call (
    started_at TIMESTAMP(6) NOT NULL,
    hour VARCHAR(10 CHAR) NOT NULL,
    trace_id VARCHAR(40 CHAR) NOT NULL,
    interface VARCHAR(40 CHAR) NOT NULL,
    operation VARCHAR(40 CHAR) NOT NULL,
    direction VARCHAR(3 CHAR) NOT NULL,
    business_key VARCHAR(60 CHAR) NOT NULL,
    person_id BIGINT,
    actor_id BIGINT NOT NULL,
    actor_name VARCHAR(60 CHAR) NOT NULL,
    outcome VARCHAR(10 CHAR) NOT NULL,
    peer_number VARCHAR(64 CHAR),
    message VARCHAR(300 CHAR) NOT NULL,
    duration_ms INTEGER NOT NULL,
    request_size INTEGER NOT NULL,
    answer_size INTEGER NOT NULL,
    request_masked CLOB NOT NULL,
    answer_masked CLOB NOT NULL,
    request_sealed BLOB NOT NULL,
    answer_sealed BLOB NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_interface_call PRIMARY KEY (id)
);
CREATE INDEX ix_interface_call_at ON interface_call (started_at, id);
CREATE INDEX ix_interface_call_business ON interface_call (business_key, started_at);
CREATE INDEX ix_interface_call_hour ON interface_call (hour, interface);
CREATE INDEX ix_interface_call_interface ON interface_call (interface, started_at, id);
CREATE INDEX ix_interface_call_operation ON interface_call (operation, started_at, id);
CREATE INDEX ix_interface_call_outcome ON interface_call (outcome, started_at, id);
CREATE INDEX ix_interface_call_person ON interface_call (person_id, started_at, id);
CREATE INDEX ix_interface_call_trace ON interface_call (trace_id);

CREATE TABLE interface_call_term (
    term VARCHAR(64 CHAR) NOT NULL,
    call_id BIGINT NOT NULL,
    CONSTRAINT pk_interface_call_term PRIMARY KEY (term, call_id)
);
CREATE INDEX ix_interface_call_term_call ON interface_call_term (call_id);

CREATE TABLE invoice_check (
    day DATE NOT NULL,
    state VARCHAR(10 CHAR) NOT NULL,
    message VARCHAR(200 CHAR),
    ours_issued INTEGER NOT NULL,
    ours_amount DECIMAL(18, 2) NOT NULL,
    ours_red INTEGER NOT NULL,
    ours_red_amount DECIMAL(18, 2) NOT NULL,
    theirs_issued INTEGER NOT NULL,
    theirs_amount DECIMAL(18, 2) NOT NULL,
    theirs_red INTEGER NOT NULL,
    theirs_red_amount DECIMAL(18, 2) NOT NULL,
    checked_at TIMESTAMP(6) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_invoice_check PRIMARY KEY (id),
    CONSTRAINT uq_invoice_check_day UNIQUE (day)
);

CREATE TABLE invoice_difference (
    day DATE NOT NULL,
    kind VARCHAR(12 CHAR) NOT NULL,
    colour VARCHAR(4 CHAR) NOT NULL,
    invoice_id BIGINT,
    bus_no VARCHAR(50 CHAR) NOT NULL,
    code VARCHAR(20 CHAR) NOT NULL,
    invoice_number VARCHAR(20 CHAR) NOT NULL,
    ours DECIMAL(18, 2),
    theirs DECIMAL(18, 2),
    state VARCHAR(10 CHAR) NOT NULL,
    found_at TIMESTAMP(6) NOT NULL,
    decision VARCHAR(200 CHAR),
    decided_by BIGINT,
    decided_by_name VARCHAR(60 CHAR),
    decided_at TIMESTAMP(6),
    id BIGINT NOT NULL,
    CONSTRAINT pk_invoice_difference PRIMARY KEY (id),
    CONSTRAINT uq_invoice_difference_day_kind_colour_code_invoice_number_bus_no UNIQUE (day, kind, colour, code, invoice_number, bus_no)
);
CREATE INDEX ix_invoice_difference_state ON invoice_difference (state, day, id);

CREATE TABLE invoice_image (
    invoice_id BIGINT NOT NULL,
    content BLOB NOT NULL,
    CONSTRAINT pk_invoice_image PRIMARY KEY (invoice_id)
);

CREATE TABLE invoice_paper (
    invoice_id BIGINT NOT NULL,
    open_marker INTEGER,
    intent_id BIGINT NOT NULL,
    void_intent_id BIGINT,
    state VARCHAR(10 CHAR) NOT NULL,
    code VARCHAR(50 CHAR) NOT NULL,
    paper_number VARCHAR(20 CHAR) NOT NULL,
    reason VARCHAR(100 CHAR),
    made_by BIGINT NOT NULL,
    made_by_name VARCHAR(60 CHAR) NOT NULL,
    made_at TIMESTAMP(6) NOT NULL,
    voided_by_name VARCHAR(60 CHAR),
    voided_at TIMESTAMP(6),
    id BIGINT NOT NULL,
    CONSTRAINT pk_invoice_paper PRIMARY KEY (id),
    CONSTRAINT uq_invoice_paper_invoice_id_open_marker UNIQUE (invoice_id, open_marker)
);
CREATE INDEX ix_invoice_paper_intent ON invoice_paper (intent_id);
CREATE INDEX ix_invoice_paper_void ON invoice_paper (void_intent_id);

CREATE TABLE item_set (
    code VARCHAR(40 CHAR) NOT NULL,
    name VARCHAR(80 CHAR) NOT NULL,
    department_id BIGINT,
    version INTEGER NOT NULL,
    valid_from TIMESTAMP(6) NOT NULL,
    valid_to TIMESTAMP(6),
    changed_by BIGINT NOT NULL,
    changed_by_name VARCHAR(60 CHAR) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_item_set PRIMARY KEY (id),
    CONSTRAINT uq_item_set_code_version UNIQUE (code, version),
    CONSTRAINT fk_item_set_department_id FOREIGN KEY(department_id) REFERENCES department (id)
);

CREATE TABLE item_set_line (
    set_id BIGINT NOT NULL,
    position INTEGER NOT NULL,
    item_id BIGINT NOT NULL,
    quantity DECIMAL(18, 4) NOT NULL,
    optional BIT NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_item_set_line PRIMARY KEY (id),
    CONSTRAINT uq_item_set_line_set_id_position UNIQUE (set_id, position),
    CONSTRAINT ck_item_set_line_quantity CHECK (quantity > 0),
    CONSTRAINT fk_item_set_line_set_id FOREIGN KEY(set_id) REFERENCES item_set (id),
    CONSTRAINT fk_item_set_line_item_id FOREIGN KEY(item_id) REFERENCES charge_item (id)
);
CREATE INDEX ix_item_set_line_item_id ON item_set_line (item_id);

CREATE TABLE item_set_search (
    owner_id BIGINT NOT NULL,
    kind VARCHAR(8 CHAR) NOT NULL,
    search_key VARCHAR(64 CHAR) NOT NULL,
    part SMALLINT NOT NULL,
    CONSTRAINT pk_item_set_search PRIMARY KEY (owner_id, kind, search_key),
    CONSTRAINT fk_item_set_search_owner_id FOREIGN KEY(owner_id) REFERENCES item_set (id) ON DELETE CASCADE
);
CREATE INDEX ix_item_set_search_key ON item_set_search (part, search_key, owner_id, kind);

CREATE TABLE key_block (
    name VARCHAR(30 CHAR) NOT NULL,
    "next" BIGINT NOT NULL,
    CONSTRAINT pk_key_block PRIMARY KEY (name)
);
COMMENT ON TABLE key_block IS 'Counter from which processes take blocks of integer keys';

CREATE TABLE machine_order (
    prescription_id BIGINT NOT NULL,
    settlement_id BIGINT NOT NULL,
    store_id BIGINT NOT NULL,
    "number" VARCHAR(32 CHAR) NOT NULL,
    window INTEGER NOT NULL,
    machine_window VARCHAR(10 CHAR) NOT NULL,
    state VARCHAR(10 CHAR) NOT NULL,
    note VARCHAR(200 CHAR) NOT NULL,
    alarm BIT NOT NULL,
    payload_sealed BLOB NOT NULL,
    made_at TIMESTAMP(6) NOT NULL,
    sent_at TIMESTAMP(6),
    changed_at TIMESTAMP(6) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_machine_order PRIMARY KEY (id),
    CONSTRAINT uq_machine_order_prescription_id UNIQUE (prescription_id)
);
CREATE INDEX ix_machine_order_alarm ON machine_order (alarm, changed_at);
CREATE INDEX ix_machine_order_number ON machine_order ("number");
CREATE INDEX ix_machine_order_state ON machine_order (state, changed_at);

CREATE TABLE medication_alert (
    check_id BIGINT NOT NULL,
    kind VARCHAR(12 CHAR) NOT NULL,
    text VARCHAR(300 CHAR) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_medication_alert PRIMARY KEY (id),
    CONSTRAINT fk_medication_alert_check_id FOREIGN KEY(check_id) REFERENCES medication_check (id)
);
CREATE INDEX ix_medication_alert_check_id ON medication_alert (check_id);

CREATE TABLE medication_check (
    task_id BIGINT NOT NULL,
    outcome VARCHAR(10 CHAR) NOT NULL,
    checked_at TIMESTAMP(6) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_medication_check PRIMARY KEY (id),
    CONSTRAINT uq_medication_check_task_id UNIQUE (task_id)
);

CREATE TABLE mobile_bill_push (
    push_id VARCHAR(40 CHAR) NOT NULL,
    encounter_id BIGINT NOT NULL,
    person_id BIGINT NOT NULL,
    digest VARCHAR(64 CHAR) NOT NULL,
    total DECIMAL(18, 2) NOT NULL,
    pushed_at TIMESTAMP(6) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_mobile_bill_push PRIMARY KEY (id),
    CONSTRAINT uq_mobile_bill_push_push_id UNIQUE (push_id)
);
CREATE INDEX ix_mobile_bill_push_visit ON mobile_bill_push (encounter_id, id);

CREATE TABLE mobile_order (
    "number" VARCHAR(40 CHAR) NOT NULL,
    pay_ord_id VARCHAR(40 CHAR),
    cashier_url VARCHAR(500 CHAR),
    batch VARCHAR(40 CHAR) NOT NULL,
    secret_sealed BLOB,
    total DECIMAL(18, 2) NOT NULL,
    fund DECIMAL(18, 2),
    account DECIMAL(18, 2),
    own DECIMAL(18, 2),
    made_at TIMESTAMP(6) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_mobile_order PRIMARY KEY (id),
    CONSTRAINT uq_mobile_order_number UNIQUE ("number")
);
CREATE INDEX ix_mobile_order_peer ON mobile_order (pay_ord_id);

CREATE TABLE nhsa_case (
    "number" VARCHAR(40 CHAR) NOT NULL,
    kind VARCHAR(10 CHAR) NOT NULL,
    state VARCHAR(12 CHAR) NOT NULL,
    tidied BIT NOT NULL,
    psn_no_sealed BLOB,
    insutype VARCHAR(6 CHAR) NOT NULL,
    area VARCHAR(6 CHAR) NOT NULL,
    ipt_otp_no VARCHAR(30 CHAR) NOT NULL,
    med_type VARCHAR(6 CHAR) NOT NULL,
    mdtrt_id VARCHAR(30 CHAR) NOT NULL,
    setl_id VARCHAR(30 CHAR) NOT NULL,
    reversal_id VARCHAR(30 CHAR) NOT NULL,
    total DECIMAL(18, 2) NOT NULL,
    answer CLOB NOT NULL,
    clr_type VARCHAR(6 CHAR) NOT NULL,
    clr_optins VARCHAR(6 CHAR) NOT NULL,
    settled_at TIMESTAMP(6),
    reversed_at TIMESTAMP(6),
    created_at TIMESTAMP(6) NOT NULL,
    changed_at TIMESTAMP(6) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_nhsa_case PRIMARY KEY (id),
    CONSTRAINT uq_nhsa_case_number UNIQUE ("number")
);
CREATE INDEX ix_nhsa_case_settled ON nhsa_case (settled_at, id);
CREATE INDEX ix_nhsa_case_state ON nhsa_case (state, tidied, changed_at);
CREATE INDEX ix_nhsa_case_visit ON nhsa_case (mdtrt_id);

CREATE TABLE nhsa_fee_line (
    mdtrt_id VARCHAR(30 CHAR) NOT NULL,
    feedetl_sn VARCHAR(15 CHAR) NOT NULL,
    line_id BIGINT NOT NULL,
    state VARCHAR(8 CHAR) NOT NULL,
    msgid VARCHAR(30 CHAR) NOT NULL,
    back BIT NOT NULL,
    body_sealed BLOB,
    quantity_text VARCHAR(24 CHAR) NOT NULL,
    amount DECIMAL(18, 2) NOT NULL,
    message VARCHAR(200 CHAR) NOT NULL,
    changed_at TIMESTAMP(6) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_nhsa_fee_line PRIMARY KEY (id),
    CONSTRAINT uq_nhsa_fee_line_mdtrt_id_feedetl_sn UNIQUE (mdtrt_id, feedetl_sn)
);
CREATE INDEX ix_nhsa_fee_line_state ON nhsa_fee_line (state, mdtrt_id, id);

CREATE TABLE nhsa_member (
    psn_no_sealed BLOB,
    psn_no_index VARCHAR(64 CHAR),
    psn_name_sealed BLOB,
    certno_sealed BLOB,
    psn_cert_type VARCHAR(6 CHAR) NOT NULL,
    psn_type VARCHAR(6 CHAR) NOT NULL,
    told_at TIMESTAMP(6) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_nhsa_member PRIMARY KEY (id)
);
CREATE INDEX ix_nhsa_member_psn ON nhsa_member (psn_no_index);

CREATE TABLE nhsa_message (
    msgid VARCHAR(30 CHAR) NOT NULL,
    infno VARCHAR(6 CHAR) NOT NULL,
    "number" VARCHAR(40 CHAR) NOT NULL,
    case_id BIGINT,
    state VARCHAR(8 CHAR) NOT NULL,
    cause VARCHAR(30 CHAR) NOT NULL,
    message VARCHAR(200 CHAR) NOT NULL,
    peer_message VARCHAR(30 CHAR) NOT NULL,
    sent_at TIMESTAMP(6) NOT NULL,
    answered_at TIMESTAMP(6),
    id BIGINT NOT NULL,
    CONSTRAINT pk_nhsa_message PRIMARY KEY (id),
    CONSTRAINT uq_nhsa_message_msgid UNIQUE (msgid)
);
CREATE INDEX ix_nhsa_message_case ON nhsa_message (case_id, infno, id);
CREATE INDEX ix_nhsa_message_number ON nhsa_message ("number", id);
CREATE INDEX ix_nhsa_message_sent ON nhsa_message (sent_at, id);

CREATE TABLE nhsa_sign (
    opter VARCHAR(30 CHAR) NOT NULL,
    day DATE NOT NULL,
    sign_no VARCHAR(30 CHAR) NOT NULL,
    signed_at TIMESTAMP(6) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_nhsa_sign PRIMARY KEY (id),
    CONSTRAINT uq_nhsa_sign_opter_day UNIQUE (opter, day)
);

CREATE TABLE no_code_entry (
    drug_id BIGINT NOT NULL,
    batch_id BIGINT,
    reason VARCHAR(200 CHAR) NOT NULL,
    made_at TIMESTAMP(6) NOT NULL,
    made_by_name VARCHAR(60 CHAR) NOT NULL,
    ended_at TIMESTAMP(6),
    ended_by_name VARCHAR(60 CHAR),
    id BIGINT NOT NULL,
    CONSTRAINT pk_no_code_entry PRIMARY KEY (id)
);
CREATE INDEX ix_no_code_entry_drug ON no_code_entry (drug_id, ended_at);

CREATE TABLE number_counter (
    series VARCHAR(40 CHAR) NOT NULL,
    scope VARCHAR(40 CHAR) NOT NULL,
    "next" BIGINT NOT NULL,
    CONSTRAINT pk_number_counter PRIMARY KEY (series, scope)
);

CREATE TABLE number_range (
    series VARCHAR(40 CHAR) NOT NULL,
    holder_id BIGINT NOT NULL,
    prefix VARCHAR(12 CHAR) NOT NULL,
    width INTEGER NOT NULL,
    "first" BIGINT NOT NULL,
    last BIGINT NOT NULL,
    "next" BIGINT NOT NULL,
    state VARCHAR(10 CHAR) NOT NULL,
    granted_at TIMESTAMP(6) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_number_range PRIMARY KEY (id),
    CONSTRAINT ck_number_range_order CHECK ("first" <= "next" AND "next" <= last + 1),
    CONSTRAINT uq_number_range_series_first UNIQUE (series, "first")
);
CREATE INDEX ix_number_range_holder ON number_range (series, holder_id, state);

CREATE TABLE number_void (
    series VARCHAR(40 CHAR) NOT NULL,
    "number" VARCHAR(32 CHAR) NOT NULL,
    range_id BIGINT NOT NULL,
    reason VARCHAR(200 CHAR) NOT NULL,
    voided_by BIGINT NOT NULL,
    voided_at TIMESTAMP(6) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_number_void PRIMARY KEY (id),
    CONSTRAINT uq_number_void_series_number UNIQUE (series, "number")
);
CREATE INDEX ix_number_void_range_id ON number_void (range_id);

CREATE TABLE old_deposit (
    source VARCHAR(20 CHAR) NOT NULL,
    source_number VARCHAR(40 CHAR) NOT NULL,
    person_id BIGINT NOT NULL,
    balance DECIMAL(18, 2) NOT NULL,
    state VARCHAR(10 CHAR) NOT NULL,
    imported_at TIMESTAMP(6) NOT NULL,
    imported_by_name VARCHAR(60 CHAR) NOT NULL,
    cleared_at TIMESTAMP(6),
    cleared_by BIGINT,
    cleared_by_name VARCHAR(60 CHAR),
    method VARCHAR(20 CHAR),
    receiver VARCHAR(100 CHAR),
    id BIGINT NOT NULL,
    CONSTRAINT pk_old_deposit PRIMARY KEY (id),
    CONSTRAINT uq_old_deposit_source_source_number UNIQUE (source, source_number)
);
CREATE INDEX ix_old_deposit_person ON old_deposit (person_id);
CREATE INDEX ix_old_deposit_state ON old_deposit (state, id);

CREATE TABLE open_grant (
    partner_id BIGINT NOT NULL,
    use_case VARCHAR(40 CHAR) NOT NULL,
    allowed VARCHAR(2000 CHAR) NOT NULL,
    granted_at TIMESTAMP(6) NOT NULL,
    granted_by_name VARCHAR(60 CHAR) NOT NULL,
    row_mac VARCHAR(64 CHAR),
    id BIGINT NOT NULL,
    CONSTRAINT pk_open_grant PRIMARY KEY (id),
    CONSTRAINT uq_open_grant_partner_id_use_case UNIQUE (partner_id, use_case),
    CONSTRAINT fk_open_grant_partner_id FOREIGN KEY(partner_id) REFERENCES open_partner (id)
);

CREATE TABLE open_partner (
    code VARCHAR(40 CHAR) NOT NULL,
    name VARCHAR(60 CHAR) NOT NULL,
    owner VARCHAR(60 CHAR) NOT NULL,
    contact VARCHAR(100 CHAR) NOT NULL,
    addresses VARCHAR(400 CHAR) NOT NULL,
    per_minute INTEGER NOT NULL,
    active BIT NOT NULL,
    revision INTEGER DEFAULT '1' NOT NULL,
    created_at TIMESTAMP(6) NOT NULL,
    created_by_name VARCHAR(60 CHAR) NOT NULL,
    row_mac VARCHAR(64 CHAR),
    id BIGINT NOT NULL,
    CONSTRAINT pk_open_partner PRIMARY KEY (id),
    CONSTRAINT uq_open_partner_code UNIQUE (code)
);

CREATE TABLE open_use (
    partner_id BIGINT NOT NULL,
    use_case VARCHAR(40 CHAR) NOT NULL,
    used_on DATE NOT NULL,
    calls INTEGER NOT NULL,
    refused INTEGER NOT NULL,
    last_at TIMESTAMP(6) NOT NULL,
    CONSTRAINT pk_open_use PRIMARY KEY (partner_id, use_case, used_on)
);

CREATE TABLE order_template (
    name VARCHAR(60 CHAR) NOT NULL,
    scope VARCHAR(12 CHAR) NOT NULL,
    staff_id BIGINT NOT NULL,
    staff_name VARCHAR(60 CHAR) NOT NULL,
    department_id BIGINT,
    made_at TIMESTAMP(6) NOT NULL,
    active BIT NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_order_template PRIMARY KEY (id)
);
CREATE INDEX ix_order_template_department ON order_template (department_id);
CREATE INDEX ix_order_template_owner ON order_template (staff_id);

CREATE TABLE order_template_line (
    template_id BIGINT NOT NULL,
    position INTEGER NOT NULL,
    drug_id BIGINT NOT NULL,
    dose DECIMAL(18, 4) NOT NULL,
    usage VARCHAR(20 CHAR) NOT NULL,
    frequency VARCHAR(20 CHAR) NOT NULL,
    days INTEGER NOT NULL,
    group_no INTEGER NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_order_template_line PRIMARY KEY (id),
    CONSTRAINT fk_order_template_line_template_id FOREIGN KEY(template_id) REFERENCES order_template (id)
);
CREATE INDEX ix_order_template_line_template_id ON order_template_line (template_id);

CREATE TABLE outbox_delivery (
    event_id BIGINT NOT NULL,
    destination VARCHAR(60 CHAR) NOT NULL,
    business_key VARCHAR(60 CHAR) NOT NULL,
    occurred_at TIMESTAMP(6) NOT NULL,
    state VARCHAR(10 CHAR) NOT NULL,
    attempts INTEGER NOT NULL,
    next_at TIMESTAMP(6) NOT NULL,
    lease_until TIMESTAMP(6),
    lease_by VARCHAR(60 CHAR),
    last_error VARCHAR(500 CHAR),
    finished_at TIMESTAMP(6),
    decided_by BIGINT,
    decision VARCHAR(200 CHAR),
    id BIGINT NOT NULL,
    CONSTRAINT pk_outbox_delivery PRIMARY KEY (id),
    CONSTRAINT uq_outbox_delivery_event_id_destination UNIQUE (event_id, destination)
);
CREATE INDEX ix_outbox_delivery_due ON outbox_delivery (state, next_at);
CREATE INDEX ix_outbox_delivery_order ON outbox_delivery (destination, business_key, occurred_at);

CREATE TABLE outbox_event (
    type VARCHAR(60 CHAR) NOT NULL,
    business_key VARCHAR(60 CHAR) NOT NULL,
    payload CLOB NOT NULL,
    occurred_at TIMESTAMP(6) NOT NULL,
    actor_id BIGINT NOT NULL,
    trace_id VARCHAR(40 CHAR) NOT NULL,
    fanned_out BIT NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_outbox_event PRIMARY KEY (id)
);
CREATE INDEX ix_outbox_event_key ON outbox_event (business_key);
CREATE INDEX ix_outbox_event_pending ON outbox_event (fanned_out, occurred_at);

CREATE TABLE paper_destruction (
    "number" VARCHAR(32 CHAR) NOT NULL,
    kind VARCHAR(10 CHAR) NOT NULL,
    from_day DATE NOT NULL,
    until_day DATE NOT NULL,
    prescriptions INTEGER NOT NULL,
    approved_by VARCHAR(60 CHAR) NOT NULL,
    witness VARCHAR(60 CHAR) NOT NULL,
    done_at TIMESTAMP(6) NOT NULL,
    done_by BIGINT NOT NULL,
    done_by_name VARCHAR(60 CHAR) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_paper_destruction PRIMARY KEY (id),
    CONSTRAINT uq_paper_destruction_number UNIQUE ("number")
);
CREATE INDEX ix_paper_destruction_kind ON paper_destruction (kind, until_day);

CREATE TABLE payment (
    settlement_id BIGINT NOT NULL,
    method VARCHAR(20 CHAR) NOT NULL,
    amount DECIMAL(18, 2) NOT NULL,
    intent_id BIGINT,
    returns_payment_id BIGINT,
    tendered DECIMAL(18, 2),
    paid_at TIMESTAMP(6) NOT NULL,
    row_mac VARCHAR(64 CHAR),
    id BIGINT NOT NULL,
    CONSTRAINT pk_payment PRIMARY KEY (id)
);
CREATE INDEX ix_payment_intent ON payment (intent_id);
CREATE INDEX ix_payment_returns ON payment (returns_payment_id);
CREATE INDEX ix_payment_settlement ON payment (settlement_id);

CREATE TABLE payment_state (
    payment_id BIGINT NOT NULL,
    covered DECIMAL(18, 2) NOT NULL,
    returned DECIMAL(18, 2) NOT NULL,
    CONSTRAINT pk_payment_state PRIMARY KEY (payment_id),
    CONSTRAINT ck_payment_state_bounds CHECK (returned >= 0 AND returned <= covered)
);

CREATE TABLE person (
    name VARCHAR(100 CHAR) NOT NULL,
    name_kept_sealed BLOB,
    sex VARCHAR(1 CHAR) NOT NULL,
    birth_date DATE,
    birth_date_known BIT NOT NULL,
    id_type VARCHAR(2 CHAR),
    id_no_sealed BLOB,
    phone_sealed BLOB,
    insurance_no_sealed BLOB,
    nationality VARCHAR(3 CHAR),
    ethnic VARCHAR(2 CHAR),
    marriage VARCHAR(2 CHAR),
    occupation VARCHAR(4 CHAR),
    allergies_sealed BLOB,
    outpatient_no VARCHAR(20 CHAR) NOT NULL,
    home_region VARCHAR(12 CHAR),
    home_region_was VARCHAR(12 CHAR),
    home_detail_sealed BLOB,
    home_postcode VARCHAR(6 CHAR),
    household_region VARCHAR(12 CHAR),
    household_region_was VARCHAR(12 CHAR),
    household_detail_sealed BLOB,
    birth_region VARCHAR(12 CHAR),
    birth_detail_sealed BLOB,
    native_region VARCHAR(12 CHAR),
    work_unit VARCHAR(100 CHAR),
    work_region VARCHAR(12 CHAR),
    work_region_was VARCHAR(12 CHAR),
    work_detail_sealed BLOB,
    work_phone_sealed BLOB,
    contact_name VARCHAR(100 CHAR),
    contact_relation VARCHAR(2 CHAR),
    contact_phone_sealed BLOB,
    mother_id BIGINT,
    unknown BIT NOT NULL,
    merged_into_id BIGINT,
    channel VARCHAR(20 CHAR) NOT NULL,
    created_at TIMESTAMP(6) NOT NULL,
    created_by BIGINT NOT NULL,
    revision INTEGER NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_person PRIMARY KEY (id),
    CONSTRAINT uq_person_outpatient_no UNIQUE (outpatient_no),
    CONSTRAINT fk_person_mother_id FOREIGN KEY(mother_id) REFERENCES person (id),
    CONSTRAINT fk_person_merged_into_id FOREIGN KEY(merged_into_id) REFERENCES person (id)
);
CREATE INDEX ix_person_birth ON person (birth_date, sex);
CREATE INDEX ix_person_home_region ON person (home_region);
CREATE INDEX ix_person_household_region ON person (household_region);
CREATE INDEX ix_person_merged_into_id ON person (merged_into_id);
CREATE INDEX ix_person_work_region ON person (work_region);

CREATE TABLE person_emergency_access (
    person_id BIGINT NOT NULL,
    user_id BIGINT NOT NULL,
    user_name VARCHAR(60 CHAR) NOT NULL,
    reason_sealed BLOB NOT NULL,
    opened_at TIMESTAMP(6) NOT NULL,
    "until" TIMESTAMP(6) NOT NULL,
    row_mac VARCHAR(64 CHAR),
    id BIGINT NOT NULL,
    CONSTRAINT pk_person_emergency_access PRIMARY KEY (id)
);
CREATE INDEX ix_person_emergency_access_opened ON person_emergency_access (opened_at, id);
CREATE INDEX ix_person_emergency_access_user ON person_emergency_access (user_id, person_id, "until");

CREATE TABLE person_identifier (
    person_id BIGINT NOT NULL,
    kind VARCHAR(20 CHAR) NOT NULL,
    id_type VARCHAR(2 CHAR) NOT NULL,
    number_sealed BLOB NOT NULL,
    number_index VARCHAR(64 CHAR) NOT NULL,
    claim VARCHAR(90 CHAR),
    active BIT NOT NULL,
    added_at TIMESTAMP(6) NOT NULL,
    added_by BIGINT NOT NULL,
    ended_at TIMESTAMP(6),
    id BIGINT NOT NULL,
    CONSTRAINT pk_person_identifier PRIMARY KEY (id),
    CONSTRAINT fk_person_identifier_person_id FOREIGN KEY(person_id) REFERENCES person (id),
    CONSTRAINT uq_person_identifier_claim UNIQUE (claim)
);
CREATE INDEX ix_person_identifier_number ON person_identifier (number_index, kind, person_id);
CREATE INDEX ix_person_identifier_person_id ON person_identifier (person_id);

CREATE TABLE person_merge (
    survivor_id BIGINT NOT NULL,
    merged_id BIGINT NOT NULL,
    moved VARCHAR(2000 CHAR) NOT NULL,
    reason VARCHAR(200 CHAR) NOT NULL,
    merged_at TIMESTAMP(6) NOT NULL,
    merged_by BIGINT NOT NULL,
    merged_by_name VARCHAR(60 CHAR) NOT NULL,
    undone_at TIMESTAMP(6),
    undone_by BIGINT,
    undone_by_name VARCHAR(60 CHAR),
    undo_reason VARCHAR(200 CHAR),
    id BIGINT NOT NULL,
    CONSTRAINT pk_person_merge PRIMARY KEY (id),
    CONSTRAINT fk_person_merge_survivor_id FOREIGN KEY(survivor_id) REFERENCES person (id),
    CONSTRAINT fk_person_merge_merged_id FOREIGN KEY(merged_id) REFERENCES person (id)
);
CREATE INDEX ix_person_merge_merged_id ON person_merge (merged_id);
CREATE INDEX ix_person_merge_survivor_id ON person_merge (survivor_id);

CREATE TABLE person_protection (
    person_id BIGINT NOT NULL,
    "level" INTEGER NOT NULL,
    kinds_sealed BLOB,
    locked BIT NOT NULL,
    reason_sealed BLOB NOT NULL,
    decided_at TIMESTAMP(6) NOT NULL,
    decided_by BIGINT NOT NULL,
    decided_by_name VARCHAR(60 CHAR) NOT NULL,
    in_force BIGINT NOT NULL,
    row_mac VARCHAR(64 CHAR),
    id BIGINT NOT NULL,
    CONSTRAINT pk_person_protection PRIMARY KEY (id),
    CONSTRAINT uq_person_protection_person_id_in_force UNIQUE (person_id, in_force)
);
CREATE INDEX ix_person_protection_decided ON person_protection (decided_at);

CREATE TABLE person_search (
    owner_id BIGINT NOT NULL,
    kind VARCHAR(8 CHAR) NOT NULL,
    search_key VARCHAR(64 CHAR) NOT NULL,
    part SMALLINT NOT NULL,
    CONSTRAINT pk_person_search PRIMARY KEY (owner_id, kind, search_key),
    CONSTRAINT fk_person_search_owner_id FOREIGN KEY(owner_id) REFERENCES person (id) ON DELETE CASCADE
);
CREATE INDEX ix_person_search_key ON person_search (part, search_key, owner_id, kind);

CREATE TABLE pharmacy_rule (
    store_id BIGINT NOT NULL,
    review_first BIT NOT NULL,
    return_review BIT NOT NULL,
    night_start VARCHAR(5 CHAR) NOT NULL,
    night_end VARCHAR(5 CHAR) NOT NULL,
    night_amount DECIMAL(18, 2) NOT NULL,
    opens VARCHAR(5 CHAR) NOT NULL,
    closes VARCHAR(5 CHAR) NOT NULL,
    changed_at TIMESTAMP(6) NOT NULL,
    changed_by_name VARCHAR(60 CHAR) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_pharmacy_rule PRIMARY KEY (id),
    CONSTRAINT uq_pharmacy_rule_store_id UNIQUE (store_id),
    CONSTRAINT ck_pharmacy_rule_amount CHECK (night_amount >= 0)
);

CREATE TABLE pickup_window (
    store_id BIGINT NOT NULL,
    "number" INTEGER NOT NULL,
    name VARCHAR(40 CHAR) NOT NULL,
    state VARCHAR(10 CHAR) NOT NULL,
    changed_at TIMESTAMP(6) NOT NULL,
    changed_by_name VARCHAR(60 CHAR) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_pickup_window PRIMARY KEY (id),
    CONSTRAINT uq_pickup_window_store_id_number UNIQUE (store_id, "number")
);

CREATE TABLE platform_call (
    our_key VARCHAR(40 CHAR) NOT NULL,
    act VARCHAR(20 CHAR) NOT NULL,
    order_id BIGINT NOT NULL,
    payload CLOB NOT NULL,
    state VARCHAR(10 CHAR) NOT NULL,
    message VARCHAR(300 CHAR) NOT NULL,
    made_at TIMESTAMP(6) NOT NULL,
    ended_at TIMESTAMP(6),
    id BIGINT NOT NULL,
    CONSTRAINT pk_platform_call PRIMARY KEY (id),
    CONSTRAINT uq_platform_call_our_key UNIQUE (our_key)
);
CREATE INDEX ix_platform_call_order_id ON platform_call (order_id);
CREATE INDEX ix_platform_call_state ON platform_call (state, made_at);

CREATE TABLE platform_delivery (
    platform_id VARCHAR(60 CHAR) NOT NULL,
    order_id BIGINT NOT NULL,
    line_id BIGINT NOT NULL,
    quantity DECIMAL(18, 4) NOT NULL,
    received DECIMAL(18, 4) NOT NULL,
    returned DECIMAL(18, 4) NOT NULL,
    price DECIMAL(18, 4) NOT NULL,
    lot_no VARCHAR(40 CHAR) NOT NULL,
    expiry DATE,
    shipped_at TIMESTAMP(6) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_platform_delivery PRIMARY KEY (id),
    CONSTRAINT ck_platform_delivery_received CHECK (received >= 0 AND received <= quantity AND returned <= received),
    CONSTRAINT uq_platform_delivery_platform_id UNIQUE (platform_id),
    CONSTRAINT fk_platform_delivery_order_id FOREIGN KEY(order_id) REFERENCES purchase_order (id)
);
CREATE INDEX ix_platform_delivery_order ON platform_delivery (order_id);

CREATE TABLE platform_product (
    platform_id VARCHAR(60 CHAR) NOT NULL,
    code VARCHAR(60 CHAR) NOT NULL,
    name VARCHAR(120 CHAR) NOT NULL,
    form VARCHAR(40 CHAR) NOT NULL,
    spec VARCHAR(80 CHAR) NOT NULL,
    pack VARCHAR(80 CHAR) NOT NULL,
    unit VARCHAR(20 CHAR) NOT NULL,
    factor DECIMAL(18, 4) NOT NULL,
    manufacturer VARCHAR(120 CHAR) NOT NULL,
    approval_no VARCHAR(60 CHAR) NOT NULL,
    price DECIMAL(18, 4) NOT NULL,
    active BIT NOT NULL,
    seen_at TIMESTAMP(6) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_platform_product PRIMARY KEY (id),
    CONSTRAINT uq_platform_product_platform_id UNIQUE (platform_id)
);
CREATE INDEX ix_platform_product_name ON platform_product (name);

CREATE TABLE platform_return (
    delivery_id BIGINT NOT NULL,
    document_id BIGINT NOT NULL,
    quantity DECIMAL(18, 4) NOT NULL,
    reason VARCHAR(200 CHAR) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_platform_return PRIMARY KEY (id),
    CONSTRAINT ck_platform_return_positive CHECK (quantity > 0),
    CONSTRAINT fk_platform_return_delivery_id FOREIGN KEY(delivery_id) REFERENCES platform_delivery (id),
    CONSTRAINT uq_platform_return_document_id UNIQUE (document_id)
);
CREATE INDEX ix_platform_return_delivery_id ON platform_return (delivery_id);

CREATE TABLE postal_area (
    place VARCHAR(60 CHAR) NOT NULL,
    region_code VARCHAR(12 CHAR) NOT NULL,
    postcode VARCHAR(6 CHAR) NOT NULL,
    area_code VARCHAR(5 CHAR) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_postal_area PRIMARY KEY (id),
    CONSTRAINT uq_postal_area_region_code_postcode UNIQUE (region_code, postcode)
);
CREATE INDEX ix_postal_area_postcode ON postal_area (postcode);

CREATE TABLE prescription (
    "number" VARCHAR(32 CHAR) NOT NULL,
    kind VARCHAR(10 CHAR) NOT NULL,
    person_id BIGINT NOT NULL,
    encounter_id BIGINT NOT NULL,
    department_id BIGINT NOT NULL,
    doctor_id BIGINT NOT NULL,
    doctor_name VARCHAR(60 CHAR) NOT NULL,
    store_id BIGINT NOT NULL,
    diagnosis_sealed BLOB NOT NULL,
    state VARCHAR(10 CHAR) NOT NULL,
    settlement_id BIGINT,
    issued_at TIMESTAMP(6) NOT NULL,
    business_date DATE NOT NULL,
    charged_at TIMESTAMP(6),
    dispensed_at TIMESTAMP(6),
    changed_at TIMESTAMP(6) NOT NULL,
    changed_by_name VARCHAR(60 CHAR) NOT NULL,
    revision INTEGER NOT NULL,
    valid_until DATE NOT NULL,
    extended_by_name VARCHAR(60 CHAR) NOT NULL,
    extension_reason VARCHAR(100 CHAR) NOT NULL,
    diagnosis_code_sealed BLOB,
    chronic_reason_sealed BLOB,
    long_term BIT NOT NULL,
    assessment_sealed BLOB,
    signed_by VARCHAR(60 CHAR) NOT NULL,
    at_night BIT NOT NULL,
    override_reason_sealed BLOB,
    consultant_name VARCHAR(60 CHAR) NOT NULL,
    check_state VARCHAR(12 CHAR) NOT NULL,
    check_text_sealed BLOB,
    check_reason_sealed BLOB,
    row_mac VARCHAR(64 CHAR),
    id BIGINT NOT NULL,
    CONSTRAINT pk_prescription PRIMARY KEY (id),
    CONSTRAINT uq_prescription_number UNIQUE ("number")
);
CREATE INDEX ix_prescription_encounter ON prescription (encounter_id);
CREATE INDEX ix_prescription_issued ON prescription (issued_at);
CREATE INDEX ix_prescription_person ON prescription (person_id, issued_at);
CREATE INDEX ix_prescription_queue ON prescription (store_id, state, charged_at);

CREATE TABLE prescription_drug_claim (
    prescription_id BIGINT NOT NULL,
    line_id BIGINT NOT NULL,
    holder VARCHAR(40 CHAR) NOT NULL,
    told VARCHAR(60 CHAR) NOT NULL,
    quantity DECIMAL(18, 4) NOT NULL,
    state VARCHAR(10 CHAR) NOT NULL,
    changed_at TIMESTAMP(6) NOT NULL,
    changed_by_name VARCHAR(60 CHAR) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_prescription_drug_claim PRIMARY KEY (id),
    CONSTRAINT uq_prescription_drug_claim_line_id_holder UNIQUE (line_id, holder),
    CONSTRAINT ck_prescription_drug_claim_positive CHECK (quantity > 0)
);
CREATE INDEX ix_prescription_drug_claim_holder ON prescription_drug_claim (holder);
CREATE INDEX ix_prescription_drug_claim_prescription ON prescription_drug_claim (prescription_id, state);

CREATE TABLE prescription_line (
    prescription_id BIGINT NOT NULL,
    position INTEGER NOT NULL,
    drug_id BIGINT NOT NULL,
    name VARCHAR(120 CHAR) NOT NULL,
    spec VARCHAR(80 CHAR) NOT NULL,
    dose DECIMAL(18, 4) NOT NULL,
    dose_unit VARCHAR(20 CHAR) NOT NULL,
    usage VARCHAR(20 CHAR) NOT NULL,
    frequency VARCHAR(20 CHAR) NOT NULL,
    days INTEGER NOT NULL,
    quantity DECIMAL(18, 4) NOT NULL,
    base_unit VARCHAR(20 CHAR) NOT NULL,
    pack_unit VARCHAR(20 CHAR) NOT NULL,
    pack_size INTEGER NOT NULL,
    price DECIMAL(18, 4) NOT NULL,
    note_sealed BLOB,
    charge_line_id BIGINT NOT NULL,
    group_no INTEGER NOT NULL,
    turns INTEGER NOT NULL,
    skin_test BIT NOT NULL,
    in_hospital BIT NOT NULL,
    row_mac VARCHAR(64 CHAR),
    id BIGINT NOT NULL,
    CONSTRAINT pk_prescription_line PRIMARY KEY (id),
    CONSTRAINT fk_prescription_line_prescription_id FOREIGN KEY(prescription_id) REFERENCES prescription (id)
);
CREATE INDEX ix_prescription_line_prescription ON prescription_line (prescription_id);

CREATE TABLE print_record (
    document VARCHAR(20 CHAR) NOT NULL,
    document_id BIGINT NOT NULL,
    copy_no INTEGER NOT NULL,
    printed_at TIMESTAMP(6) NOT NULL,
    printed_by BIGINT NOT NULL,
    printed_by_name VARCHAR(60 CHAR) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_print_record PRIMARY KEY (id),
    CONSTRAINT uq_print_record_document_document_id_copy_no UNIQUE (document, document_id, copy_no)
);

CREATE TABLE purchase_line (
    order_id BIGINT NOT NULL,
    position INTEGER NOT NULL,
    drug_id BIGINT NOT NULL,
    quantity DECIMAL(18, 4) NOT NULL,
    pack_cost DECIMAL(18, 4) NOT NULL,
    pack_size INTEGER NOT NULL,
    received DECIMAL(18, 4) NOT NULL,
    product_id BIGINT,
    id BIGINT NOT NULL,
    CONSTRAINT pk_purchase_line PRIMARY KEY (id),
    CONSTRAINT uq_purchase_line_order_id_position UNIQUE (order_id, position),
    CONSTRAINT ck_purchase_line_received CHECK (received >= 0 AND received <= quantity),
    CONSTRAINT fk_purchase_line_order_id FOREIGN KEY(order_id) REFERENCES purchase_order (id)
);
CREATE INDEX ix_purchase_line_drug_id ON purchase_line (drug_id);

CREATE TABLE purchase_order (
    "number" VARCHAR(32 CHAR) NOT NULL,
    supplier_id BIGINT NOT NULL,
    store_id BIGINT NOT NULL,
    channel VARCHAR(10 CHAR) NOT NULL,
    state VARCHAR(12 CHAR) NOT NULL,
    platform_number VARCHAR(60 CHAR) NOT NULL,
    amount DECIMAL(18, 2) NOT NULL,
    note VARCHAR(200 CHAR) NOT NULL,
    made_at TIMESTAMP(6) NOT NULL,
    made_by_name VARCHAR(60 CHAR) NOT NULL,
    changed_at TIMESTAMP(6) NOT NULL,
    changed_by_name VARCHAR(60 CHAR) NOT NULL,
    end_reason VARCHAR(200 CHAR),
    id BIGINT NOT NULL,
    CONSTRAINT pk_purchase_order PRIMARY KEY (id),
    CONSTRAINT uq_purchase_order_number UNIQUE ("number"),
    CONSTRAINT fk_purchase_order_supplier_id FOREIGN KEY(supplier_id) REFERENCES supplier (id)
);
CREATE INDEX ix_purchase_order_state ON purchase_order (state, made_at);
CREATE INDEX ix_purchase_order_store ON purchase_order (store_id, made_at);
CREATE INDEX ix_purchase_order_supplier_id ON purchase_order (supplier_id);

CREATE TABLE queue_call (
    registration_id BIGINT NOT NULL,
    flag VARCHAR(1 CHAR) NOT NULL,
    room VARCHAR(20 CHAR) NOT NULL,
    called_at TIMESTAMP(6) NOT NULL,
    changed_at TIMESTAMP(6) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_queue_call PRIMARY KEY (id),
    CONSTRAINT uq_queue_call_registration_id UNIQUE (registration_id)
);

CREATE TABLE read_feed (
    "resource" VARCHAR(40 CHAR) NOT NULL,
    version BIGINT NOT NULL,
    fresh_at TIMESTAMP(6),
    CONSTRAINT pk_read_feed PRIMARY KEY ("resource")
);

CREATE TABLE read_feed_row (
    "resource" VARCHAR(40 CHAR) NOT NULL,
    row_key VARCHAR(40 CHAR) NOT NULL,
    version BIGINT NOT NULL,
    gone BIT NOT NULL,
    content CLOB NOT NULL,
    CONSTRAINT pk_read_feed_row PRIMARY KEY ("resource", row_key)
);
CREATE INDEX ix_read_feed_row_version ON read_feed_row ("resource", version);

CREATE TABLE receipt (
    "number" VARCHAR(32 CHAR) NOT NULL,
    settlement_id BIGINT NOT NULL,
    person_id BIGINT NOT NULL,
    colour VARCHAR(4 CHAR) NOT NULL,
    title VARCHAR(60 CHAR) NOT NULL,
    amount DECIMAL(18, 2) NOT NULL,
    root_id BIGINT NOT NULL,
    reverses_receipt_id BIGINT,
    issued_at TIMESTAMP(6) NOT NULL,
    issued_by BIGINT NOT NULL,
    row_mac VARCHAR(64 CHAR),
    id BIGINT NOT NULL,
    CONSTRAINT pk_receipt PRIMARY KEY (id),
    CONSTRAINT uq_receipt_number UNIQUE ("number"),
    CONSTRAINT uq_receipt_reverses_receipt_id UNIQUE (reverses_receipt_id)
);
CREATE INDEX ix_receipt_root ON receipt (root_id);
CREATE INDEX ix_receipt_settlement ON receipt (settlement_id);

CREATE TABLE refund_approval (
    settlement_id BIGINT NOT NULL,
    amount DECIMAL(18, 2) NOT NULL,
    reason VARCHAR(200 CHAR) NOT NULL,
    state VARCHAR(10 CHAR) NOT NULL,
    requested_by BIGINT NOT NULL,
    requested_by_name VARCHAR(60 CHAR) NOT NULL,
    requested_at TIMESTAMP(6) NOT NULL,
    decided_by BIGINT,
    decided_by_name VARCHAR(60 CHAR),
    decided_at TIMESTAMP(6),
    decision_note VARCHAR(200 CHAR),
    id BIGINT NOT NULL,
    CONSTRAINT pk_refund_approval PRIMARY KEY (id)
);
CREATE INDEX ix_refund_approval_settlement ON refund_approval (settlement_id);
CREATE INDEX ix_refund_approval_state ON refund_approval (state, requested_at);

CREATE TABLE refund_case (
    settlement_id BIGINT NOT NULL,
    open_marker INTEGER,
    claim_id BIGINT NOT NULL,
    uninsure_intent_id BIGINT NOT NULL,
    new_claim_id BIGINT,
    state VARCHAR(12 CHAR) NOT NULL,
    due DECIMAL(18, 2),
    plan CLOB NOT NULL,
    refund_id BIGINT,
    message VARCHAR(200 CHAR),
    opened_at TIMESTAMP(6) NOT NULL,
    opened_by BIGINT NOT NULL,
    opened_by_name VARCHAR(60 CHAR) NOT NULL,
    changed_at TIMESTAMP(6) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_refund_case PRIMARY KEY (id),
    CONSTRAINT uq_refund_case_settlement_id_open_marker UNIQUE (settlement_id, open_marker)
);
CREATE INDEX ix_refund_case_state ON refund_case (state, changed_at);

CREATE TABLE region (
    code VARCHAR(12 CHAR) NOT NULL,
    name VARCHAR(60 CHAR) NOT NULL,
    "level" INTEGER NOT NULL,
    parent_code VARCHAR(12 CHAR) NOT NULL,
    valid_from DATE,
    valid_to DATE,
    successor VARCHAR(12 CHAR) NOT NULL,
    present_code VARCHAR(12 CHAR) NOT NULL,
    full_name VARCHAR(120 CHAR) NOT NULL,
    former_names VARCHAR(120 CHAR) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_region PRIMARY KEY (id),
    CONSTRAINT uq_region_code UNIQUE (code)
);
CREATE INDEX ix_region_parent_code ON region (parent_code);
CREATE INDEX ix_region_present_code ON region (present_code);

CREATE TABLE region_search (
    owner_id BIGINT NOT NULL,
    kind VARCHAR(8 CHAR) NOT NULL,
    search_key VARCHAR(64 CHAR) NOT NULL,
    part SMALLINT NOT NULL,
    CONSTRAINT pk_region_search PRIMARY KEY (owner_id, kind, search_key),
    CONSTRAINT fk_region_search_owner_id FOREIGN KEY(owner_id) REFERENCES region (id) ON DELETE CASCADE
);
CREATE INDEX ix_region_search_key ON region_search (part, search_key, owner_id, kind);

CREATE TABLE register_level (
    code VARCHAR(20 CHAR) NOT NULL,
    item_id BIGINT NOT NULL,
    position INTEGER NOT NULL,
    active BIT NOT NULL,
    revision INTEGER DEFAULT '1' NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_register_level PRIMARY KEY (id),
    CONSTRAINT uq_register_level_code UNIQUE (code)
);

CREATE TABLE registration (
    "number" VARCHAR(32 CHAR) NOT NULL,
    session_id BIGINT NOT NULL,
    encounter_id BIGINT NOT NULL,
    person_id BIGINT NOT NULL,
    day DATE NOT NULL,
    department_id BIGINT NOT NULL,
    doctor_id BIGINT,
    "level" VARCHAR(20 CHAR) NOT NULL,
    queue_no INTEGER NOT NULL,
    state VARCHAR(12 CHAR) NOT NULL,
    channel VARCHAR(20 CHAR) NOT NULL,
    way VARCHAR(12 CHAR) NOT NULL,
    renews_id BIGINT,
    settlement_id BIGINT,
    registered_at TIMESTAMP(6) NOT NULL,
    registered_by BIGINT NOT NULL,
    registered_by_name VARCHAR(60 CHAR) NOT NULL,
    cancelled_at TIMESTAMP(6),
    cancelled_by_name VARCHAR(60 CHAR),
    cancel_reason VARCHAR(200 CHAR),
    no_show BIT NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_registration PRIMARY KEY (id),
    CONSTRAINT uq_registration_session_id_queue_no UNIQUE (session_id, queue_no),
    CONSTRAINT uq_registration_renews_id UNIQUE (renews_id),
    CONSTRAINT uq_registration_number UNIQUE ("number"),
    CONSTRAINT fk_registration_session_id FOREIGN KEY(session_id) REFERENCES clinic_session (id)
);
CREATE INDEX ix_registration_day ON registration (day, department_id, state);
CREATE INDEX ix_registration_encounter_id ON registration (encounter_id);
CREATE INDEX ix_registration_listing ON registration (day, id);
CREATE INDEX ix_registration_person ON registration (person_id, day);

CREATE TABLE registration_count (
    registration_id BIGINT NOT NULL,
    kind VARCHAR(12 CHAR) NOT NULL,
    "number" INTEGER NOT NULL,
    business_date DATE NOT NULL,
    counted_at TIMESTAMP(6) NOT NULL,
    department_id BIGINT NOT NULL,
    doctor_id BIGINT,
    "level" VARCHAR(20 CHAR) NOT NULL,
    channel VARCHAR(20 CHAR) NOT NULL,
    counted_by BIGINT NOT NULL,
    counted_by_name VARCHAR(60 CHAR) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_registration_count PRIMARY KEY (id)
);
CREATE INDEX ix_registration_count_day ON registration_count (business_date, department_id);
CREATE INDEX ix_registration_count_registration ON registration_count (registration_id);

CREATE TABLE request (
    "number" VARCHAR(32 CHAR) NOT NULL,
    person_id BIGINT NOT NULL,
    encounter_id BIGINT NOT NULL,
    department_id BIGINT NOT NULL,
    doctor_id BIGINT NOT NULL,
    doctor_name VARCHAR(60 CHAR) NOT NULL,
    performing_department_id BIGINT NOT NULL,
    diagnosis_sealed BLOB NOT NULL,
    state VARCHAR(10 CHAR) NOT NULL,
    settlement_id BIGINT,
    issued_at TIMESTAMP(6) NOT NULL,
    business_date DATE NOT NULL,
    changed_at TIMESTAMP(6) NOT NULL,
    changed_by_name VARCHAR(60 CHAR) NOT NULL,
    row_mac VARCHAR(64 CHAR),
    id BIGINT NOT NULL,
    CONSTRAINT pk_request PRIMARY KEY (id),
    CONSTRAINT uq_request_number UNIQUE ("number")
);
CREATE INDEX ix_request_encounter ON request (encounter_id);
CREATE INDEX ix_request_issued ON request (issued_at);
CREATE INDEX ix_request_person ON request (person_id, issued_at);
CREATE INDEX ix_request_worklist ON request (performing_department_id, state, issued_at);

CREATE TABLE request_line (
    request_id BIGINT NOT NULL,
    position INTEGER NOT NULL,
    item_id BIGINT NOT NULL,
    name VARCHAR(120 CHAR) NOT NULL,
    unit VARCHAR(20 CHAR) NOT NULL,
    quantity DECIMAL(18, 4) NOT NULL,
    price DECIMAL(18, 4) NOT NULL,
    note_sealed BLOB,
    charge_line_id BIGINT NOT NULL,
    row_mac VARCHAR(64 CHAR),
    id BIGINT NOT NULL,
    CONSTRAINT pk_request_line PRIMARY KEY (id),
    CONSTRAINT fk_request_line_request_id FOREIGN KEY(request_id) REFERENCES request (id)
);
CREATE INDEX ix_request_line_request ON request_line (request_id);

CREATE TABLE schedule_run (
    job VARCHAR(60 CHAR) NOT NULL,
    period VARCHAR(30 CHAR) NOT NULL,
    outcome VARCHAR(10 CHAR) NOT NULL,
    started_at TIMESTAMP(6),
    finished_at TIMESTAMP(6),
    lease_until TIMESTAMP(6),
    lease_by VARCHAR(60 CHAR),
    error VARCHAR(500 CHAR),
    CONSTRAINT pk_schedule_run PRIMARY KEY (job)
);

CREATE TABLE schedule_template (
    department_id BIGINT NOT NULL,
    doctor_id BIGINT,
    weekday INTEGER NOT NULL,
    period VARCHAR(4 CHAR) NOT NULL,
    "level" VARCHAR(20 CHAR) NOT NULL,
    capacity INTEGER NOT NULL,
    active BIT NOT NULL,
    revision INTEGER DEFAULT '1' NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_schedule_template PRIMARY KEY (id),
    CONSTRAINT uq_schedule_template_department_id_doctor_id_weekday_period_level UNIQUE (department_id, doctor_id, weekday, period, "level")
);

CREATE TABLE schema_revision (
    revision VARCHAR(32 CHAR) NOT NULL,
    phase VARCHAR(10 CHAR) NOT NULL,
    release VARCHAR(32 CHAR) NOT NULL,
    applied_at TIMESTAMP(6) NOT NULL,
    CONSTRAINT pk_schema_revision PRIMARY KEY (revision)
);

CREATE TABLE security_audit (
    id BIGINT NOT NULL,
    at TIMESTAMP(6) NOT NULL,
    zone VARCHAR(6 CHAR) NOT NULL,
    user_id BIGINT NOT NULL,
    "login" VARCHAR(40 CHAR) NOT NULL,
    name VARCHAR(60 CHAR) NOT NULL,
    staff_id BIGINT,
    roles VARCHAR(200 CHAR) NOT NULL,
    channel VARCHAR(20 CHAR) NOT NULL,
    ip VARCHAR(45 CHAR) NOT NULL,
    terminal VARCHAR(60 CHAR) NOT NULL,
    event VARCHAR(60 CHAR) NOT NULL,
    object_type VARCHAR(60 CHAR) NOT NULL,
    object_id VARCHAR(80 CHAR) NOT NULL,
    success BIT NOT NULL,
    trace_id VARCHAR(40 CHAR) NOT NULL,
    detail CLOB NOT NULL,
    row_mac VARCHAR(64 CHAR) NOT NULL,
    CONSTRAINT pk_security_audit PRIMARY KEY (id)
);
CREATE INDEX ix_security_audit_at ON security_audit (at);
CREATE INDEX ix_security_audit_event ON security_audit (event, at);
CREATE INDEX ix_security_audit_object ON security_audit (object_type, object_id);
CREATE INDEX ix_security_audit_user ON security_audit (user_id, at);

CREATE TABLE security_certificate (
    fingerprint VARCHAR(64 CHAR) NOT NULL,
    "public" VARCHAR(128 CHAR) NOT NULL,
    certificate CLOB NOT NULL,
    added_at TIMESTAMP(6) NOT NULL,
    added_by BIGINT NOT NULL,
    row_mac VARCHAR(64 CHAR),
    id BIGINT NOT NULL,
    CONSTRAINT pk_security_certificate PRIMARY KEY (id),
    CONSTRAINT uq_security_certificate_fingerprint UNIQUE (fingerprint)
);
CREATE INDEX ix_security_certificate_public ON security_certificate ("public");

CREATE TABLE security_installation (
    key VARCHAR(10 CHAR) NOT NULL,
    name VARCHAR(32 CHAR) NOT NULL,
    mac VARCHAR(64 CHAR) NOT NULL,
    CONSTRAINT pk_security_installation PRIMARY KEY (key)
);

CREATE TABLE security_partner_key (
    key_id VARCHAR(64 CHAR) NOT NULL,
    name VARCHAR(60 CHAR) NOT NULL,
    "public" VARCHAR(128 CHAR) NOT NULL,
    "uid" VARCHAR(60 CHAR) NOT NULL,
    permissions CLOB NOT NULL,
    not_before TIMESTAMP(6) NOT NULL,
    not_after TIMESTAMP(6) NOT NULL,
    state VARCHAR(10 CHAR) NOT NULL,
    created_at TIMESTAMP(6) NOT NULL,
    created_by BIGINT NOT NULL,
    row_mac VARCHAR(64 CHAR),
    id BIGINT NOT NULL,
    CONSTRAINT pk_security_partner_key PRIMARY KEY (id),
    CONSTRAINT uq_security_partner_key_key_id UNIQUE (key_id)
);

CREATE TABLE security_password_history (
    user_id BIGINT NOT NULL,
    password VARCHAR(200 CHAR) NOT NULL,
    changed_at TIMESTAMP(6) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_security_password_history PRIMARY KEY (id)
);
CREATE INDEX ix_security_password_history_user_id ON security_password_history (user_id);

CREATE TABLE security_role (
    code VARCHAR(40 CHAR) NOT NULL,
    title VARCHAR(60 CHAR) NOT NULL,
    standard BIT NOT NULL,
    active BIT NOT NULL,
    second_factor BIT NOT NULL,
    permissions CLOB NOT NULL,
    declared CLOB NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_security_role PRIMARY KEY (id),
    CONSTRAINT uq_security_role_code UNIQUE (code)
);

CREATE TABLE security_seal (
    chain VARCHAR(40 CHAR) NOT NULL,
    seq BIGINT NOT NULL,
    row_id BIGINT NOT NULL,
    row_mac VARCHAR(64 CHAR) NOT NULL,
    members VARCHAR(64 CHAR),
    kid VARCHAR(16 CHAR) NOT NULL,
    mac VARCHAR(64 CHAR) NOT NULL,
    CONSTRAINT pk_security_seal PRIMARY KEY (chain, seq)
);
CREATE UNIQUE INDEX ix_security_seal_row ON security_seal (chain, row_id);

CREATE TABLE security_seal_checkpoint (
    chain VARCHAR(40 CHAR) NOT NULL,
    "number" INTEGER NOT NULL,
    made_at TIMESTAMP(6) NOT NULL,
    text CLOB NOT NULL,
    CONSTRAINT pk_security_seal_checkpoint PRIMARY KEY (chain, "number")
);

CREATE TABLE security_seal_start (
    chain VARCHAR(40 CHAR) NOT NULL,
    seq BIGINT NOT NULL,
    mac VARCHAR(64 CHAR) NOT NULL,
    row_mac VARCHAR(64 CHAR) NOT NULL,
    CONSTRAINT pk_security_seal_start PRIMARY KEY (chain)
);

CREATE TABLE security_session (
    token VARCHAR(64 CHAR) NOT NULL,
    user_id BIGINT NOT NULL,
    stage VARCHAR(20 CHAR) NOT NULL,
    created_at TIMESTAMP(6) NOT NULL,
    last_seen_at TIMESTAMP(6) NOT NULL,
    expires_at TIMESTAMP(6) NOT NULL,
    factors VARCHAR(40 CHAR) NOT NULL,
    ip VARCHAR(45 CHAR) NOT NULL,
    terminal VARCHAR(60 CHAR) NOT NULL,
    row_mac VARCHAR(64 CHAR) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_security_session PRIMARY KEY (id),
    CONSTRAINT uq_security_session_token UNIQUE (token)
);
CREATE INDEX ix_security_session_expires ON security_session (expires_at);
CREATE INDEX ix_security_session_user ON security_session (user_id);

CREATE TABLE security_signature (
    kind VARCHAR(30 CHAR) NOT NULL,
    document_id BIGINT NOT NULL,
    content_sealed BLOB NOT NULL,
    signed_at TIMESTAMP(6) NOT NULL,
    user_id BIGINT NOT NULL,
    user_name VARCHAR(60 CHAR) NOT NULL,
    means VARCHAR(10 CHAR) NOT NULL,
    key_id VARCHAR(64 CHAR) NOT NULL,
    "public" VARCHAR(128 CHAR) NOT NULL,
    signature VARCHAR(128 CHAR) NOT NULL,
    row_mac VARCHAR(64 CHAR),
    id BIGINT NOT NULL,
    CONSTRAINT pk_security_signature PRIMARY KEY (id)
);
CREATE INDEX ix_security_signature_document ON security_signature (kind, document_id);
CREATE INDEX ix_security_signature_signed ON security_signature (signed_at);
CREATE INDEX ix_security_signature_user ON security_signature (user_id, signed_at);

CREATE TABLE security_signed_nonce (
    key_id VARCHAR(64 CHAR) NOT NULL,
    nonce VARCHAR(64 CHAR) NOT NULL,
    expires_at TIMESTAMP(6) NOT NULL,
    CONSTRAINT pk_security_signed_nonce PRIMARY KEY (key_id, nonce)
);
CREATE INDEX ix_security_signed_nonce_expires ON security_signed_nonce (expires_at);

CREATE TABLE security_spent_nonce (
    nonce VARCHAR(64 CHAR) NOT NULL,
    expires_at TIMESTAMP(6) NOT NULL,
    CONSTRAINT pk_security_spent_nonce PRIMARY KEY (nonce)
);
CREATE INDEX ix_security_spent_nonce_expires ON security_spent_nonce (expires_at);

CREATE TABLE security_syslog (
    target VARCHAR(200 CHAR) NOT NULL,
    seq BIGINT NOT NULL,
    CONSTRAINT pk_security_syslog PRIMARY KEY (target)
);

CREATE TABLE security_user (
    "login" VARCHAR(40 CHAR) NOT NULL,
    login_key VARCHAR(40 CHAR) NOT NULL,
    name VARCHAR(60 CHAR) NOT NULL,
    staff_id BIGINT,
    department_id BIGINT,
    state VARCHAR(10 CHAR) NOT NULL,
    valid_until DATE,
    password VARCHAR(200 CHAR) NOT NULL,
    password_changed_at TIMESTAMP(6) NOT NULL,
    must_change BIT NOT NULL,
    failures INTEGER NOT NULL,
    locked_until TIMESTAMP(6),
    last_sign_in_at TIMESTAMP(6),
    totp_sealed BLOB,
    totp_step BIGINT NOT NULL,
    certificate CLOB,
    created_at TIMESTAMP(6) NOT NULL,
    created_by BIGINT NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_security_user PRIMARY KEY (id),
    CONSTRAINT uq_security_user_login_key UNIQUE (login_key),
    CONSTRAINT uq_security_user_staff_id UNIQUE (staff_id)
);

CREATE TABLE security_user_role (
    user_id BIGINT NOT NULL,
    role_id BIGINT NOT NULL,
    department_id BIGINT NOT NULL,
    granted_at TIMESTAMP(6) NOT NULL,
    granted_by BIGINT NOT NULL,
    row_mac VARCHAR(64 CHAR) NOT NULL,
    CONSTRAINT pk_security_user_role PRIMARY KEY (user_id, role_id, department_id)
);
CREATE INDEX ix_security_user_role_role ON security_user_role (role_id);

CREATE TABLE settlement (
    "number" VARCHAR(32 CHAR) NOT NULL,
    kind VARCHAR(10 CHAR) NOT NULL,
    person_id BIGINT NOT NULL,
    total DECIMAL(18, 2) NOT NULL,
    channel VARCHAR(20 CHAR) NOT NULL,
    cashier_id BIGINT NOT NULL,
    cashier_name VARCHAR(60 CHAR) NOT NULL,
    shift_id BIGINT NOT NULL,
    settled_at TIMESTAMP(6) NOT NULL,
    business_date DATE NOT NULL,
    reverses_id BIGINT,
    reason VARCHAR(200 CHAR),
    approver_id BIGINT,
    row_mac VARCHAR(64 CHAR),
    id BIGINT NOT NULL,
    CONSTRAINT pk_settlement PRIMARY KEY (id),
    CONSTRAINT uq_settlement_number UNIQUE ("number")
);
CREATE INDEX ix_settlement_day ON settlement (business_date, id);
CREATE INDEX ix_settlement_person ON settlement (person_id, settled_at);
CREATE INDEX ix_settlement_reverses ON settlement (reverses_id);
CREATE INDEX ix_settlement_settled ON settlement (settled_at);
CREATE INDEX ix_settlement_shift ON settlement (shift_id);

CREATE TABLE shift (
    "number" VARCHAR(32 CHAR) NOT NULL,
    cashier_id BIGINT NOT NULL,
    cashier_name VARCHAR(60 CHAR) NOT NULL,
    state VARCHAR(12 CHAR) NOT NULL,
    open_marker INTEGER,
    settlements INTEGER NOT NULL,
    opened_at TIMESTAMP(6) NOT NULL,
    closed_at TIMESTAMP(6),
    business_date DATE,
    statement CLOB,
    counted_cash DECIMAL(18, 2),
    cash_difference DECIMAL(18, 2),
    receiver_id BIGINT,
    receiver_name VARCHAR(60 CHAR),
    received_at TIMESTAMP(6),
    id BIGINT NOT NULL,
    CONSTRAINT pk_shift PRIMARY KEY (id),
    CONSTRAINT uq_shift_number UNIQUE ("number"),
    CONSTRAINT uq_shift_cashier_id_open_marker UNIQUE (cashier_id, open_marker)
);
CREATE INDEX ix_shift_cashier ON shift (cashier_id, opened_at);
CREATE INDEX ix_shift_state ON shift (state, closed_at);

CREATE TABLE skin_test (
    person_id BIGINT NOT NULL,
    encounter_id BIGINT NOT NULL,
    prescription_id BIGINT NOT NULL,
    prescription_line_id BIGINT NOT NULL,
    department_id BIGINT NOT NULL,
    drug_id BIGINT NOT NULL,
    ingredient VARCHAR(60 CHAR) NOT NULL,
    drug_name VARCHAR(120 CHAR) NOT NULL,
    lot_no VARCHAR(60 CHAR) NOT NULL,
    claim VARCHAR(60 CHAR),
    state VARCHAR(10 CHAR) NOT NULL,
    result VARCHAR(4 CHAR) NOT NULL,
    note VARCHAR(100 CHAR) NOT NULL,
    business_date DATE NOT NULL,
    started_at TIMESTAMP(6) NOT NULL,
    started_by BIGINT NOT NULL,
    started_by_name VARCHAR(60 CHAR) NOT NULL,
    due_at TIMESTAMP(6) NOT NULL,
    read_at TIMESTAMP(6),
    read_by BIGINT,
    read_by_name VARCHAR(60 CHAR) NOT NULL,
    confirmed_at TIMESTAMP(6),
    confirmed_by_name VARCHAR(60 CHAR) NOT NULL,
    valid_until TIMESTAMP(6),
    id BIGINT NOT NULL,
    CONSTRAINT pk_skin_test PRIMARY KEY (id),
    CONSTRAINT uq_skin_test_claim UNIQUE (claim)
);
CREATE INDEX ix_skin_test_day ON skin_test (business_date, state);
CREATE INDEX ix_skin_test_line ON skin_test (prescription_line_id);
CREATE INDEX ix_skin_test_list ON skin_test (state, due_at);
CREATE INDEX ix_skin_test_person ON skin_test (person_id, drug_id, state);

CREATE TABLE staff (
    code VARCHAR(20 CHAR) NOT NULL,
    name VARCHAR(60 CHAR) NOT NULL,
    sex VARCHAR(1 CHAR) NOT NULL,
    department_id BIGINT NOT NULL,
    title VARCHAR(30 CHAR) NOT NULL,
    role VARCHAR(30 CHAR) NOT NULL,
    rights VARCHAR(120 CHAR) NOT NULL,
    active BIT NOT NULL,
    revision INTEGER DEFAULT '1' NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_staff PRIMARY KEY (id),
    CONSTRAINT uq_staff_code UNIQUE (code),
    CONSTRAINT fk_staff_department_id FOREIGN KEY(department_id) REFERENCES department (id)
);
CREATE INDEX ix_staff_department_id ON staff (department_id);

CREATE TABLE staff_search (
    owner_id BIGINT NOT NULL,
    kind VARCHAR(8 CHAR) NOT NULL,
    search_key VARCHAR(64 CHAR) NOT NULL,
    part SMALLINT NOT NULL,
    CONSTRAINT pk_staff_search PRIMARY KEY (owner_id, kind, search_key),
    CONSTRAINT fk_staff_search_owner_id FOREIGN KEY(owner_id) REFERENCES staff (id) ON DELETE CASCADE
);
CREATE INDEX ix_staff_search_key ON staff_search (part, search_key, owner_id, kind);

CREATE TABLE standin_stay (
    person_id BIGINT NOT NULL,
    "number" VARCHAR(20 CHAR) NOT NULL,
    ward_id BIGINT NOT NULL,
    bed VARCHAR(10 CHAR) NOT NULL,
    left_at TIMESTAMP(6),
    id BIGINT NOT NULL,
    CONSTRAINT pk_standin_stay PRIMARY KEY (id),
    CONSTRAINT uq_standin_stay_number UNIQUE ("number")
);

CREATE TABLE standin_ward_move (
    stay_id BIGINT NOT NULL,
    ward_from BIGINT NOT NULL,
    ward_to BIGINT NOT NULL,
    moved_at TIMESTAMP(6) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_standin_ward_move PRIMARY KEY (id),
    CONSTRAINT fk_standin_ward_move_stay_id FOREIGN KEY(stay_id) REFERENCES standin_stay (id)
);
CREATE INDEX ix_standin_ward_move_stay_id ON standin_ward_move (stay_id);

CREATE TABLE standin_ward_return (
    "number" VARCHAR(32 CHAR) NOT NULL,
    stay_id BIGINT NOT NULL,
    ward_id BIGINT NOT NULL,
    state VARCHAR(10 CHAR) NOT NULL,
    reason VARCHAR(200 CHAR) NOT NULL,
    asked_at TIMESTAMP(6) NOT NULL,
    asked_by_name VARCHAR(60 CHAR) NOT NULL,
    changed_at TIMESTAMP(6) NOT NULL,
    changed_by_name VARCHAR(60 CHAR) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_standin_ward_return PRIMARY KEY (id),
    CONSTRAINT uq_standin_ward_return_number UNIQUE ("number"),
    CONSTRAINT fk_standin_ward_return_stay_id FOREIGN KEY(stay_id) REFERENCES standin_stay (id)
);
CREATE INDEX ix_standin_ward_return_state ON standin_ward_return (state, asked_at);
CREATE INDEX ix_standin_ward_return_stay_id ON standin_ward_return (stay_id);

CREATE TABLE standin_ward_return_line (
    return_id BIGINT NOT NULL,
    drug_id BIGINT NOT NULL,
    quantity DECIMAL(18, 4) NOT NULL,
    issue_id BIGINT NOT NULL,
    issue_line_id BIGINT NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_standin_ward_return_line PRIMARY KEY (id),
    CONSTRAINT ck_standin_ward_return_line_positive CHECK (quantity > 0),
    CONSTRAINT fk_standin_ward_return_line_return_id FOREIGN KEY(return_id) REFERENCES standin_ward_return (id)
);
CREATE INDEX ix_standin_ward_return_line_return_id ON standin_ward_return_line (return_id);

CREATE TABLE standin_ward_store (
    ward_id BIGINT NOT NULL,
    store_id BIGINT NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_standin_ward_store PRIMARY KEY (id),
    CONSTRAINT uq_standin_ward_store_ward_id UNIQUE (ward_id)
);

CREATE TABLE statement_difference (
    channel VARCHAR(20 CHAR) NOT NULL,
    "number" VARCHAR(64 CHAR) NOT NULL,
    kind VARCHAR(12 CHAR) NOT NULL,
    act VARCHAR(6 CHAR) NOT NULL,
    day DATE NOT NULL,
    ours DECIMAL(18, 2),
    theirs DECIMAL(18, 2),
    our_state VARCHAR(12 CHAR) NOT NULL,
    intent_id BIGINT,
    state VARCHAR(10 CHAR) NOT NULL,
    found_at TIMESTAMP(6) NOT NULL,
    changed_at TIMESTAMP(6) NOT NULL,
    decision VARCHAR(10 CHAR) NOT NULL,
    reason VARCHAR(200 CHAR) NOT NULL,
    settled_by_name VARCHAR(60 CHAR) NOT NULL,
    settled_at TIMESTAMP(6),
    id BIGINT NOT NULL,
    CONSTRAINT pk_statement_difference PRIMARY KEY (id),
    CONSTRAINT uq_statement_difference_channel_number_kind UNIQUE (channel, "number", kind)
);
CREATE INDEX ix_statement_difference_day ON statement_difference (day, id);
CREATE INDEX ix_statement_difference_state ON statement_difference (state, day, id);

CREATE TABLE statistics_grant (
    first_day DATE NOT NULL,
    last_day DATE NOT NULL,
    department_id BIGINT,
    doctor_id BIGINT,
    drug_id BIGINT,
    reason VARCHAR(200 CHAR) NOT NULL,
    state VARCHAR(10 CHAR) NOT NULL,
    requested_by BIGINT NOT NULL,
    requested_by_name VARCHAR(60 CHAR) NOT NULL,
    requested_at TIMESTAMP(6) NOT NULL,
    decided_by BIGINT,
    decided_by_name VARCHAR(60 CHAR),
    decided_at TIMESTAMP(6),
    valid_until TIMESTAMP(6),
    id BIGINT NOT NULL,
    CONSTRAINT pk_statistics_grant PRIMARY KEY (id)
);
CREATE INDEX ix_statistics_grant_state ON statistics_grant (state, requested_at);

CREATE TABLE stock_balance (
    store_id BIGINT NOT NULL,
    batch_id BIGINT NOT NULL,
    drug_id BIGINT NOT NULL,
    expiry DATE NOT NULL,
    on_hand DECIMAL(18, 4) NOT NULL,
    reserved DECIMAL(18, 4) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_stock_balance PRIMARY KEY (id),
    CONSTRAINT ck_stock_balance_never_negative CHECK (reserved >= 0 AND on_hand >= reserved),
    CONSTRAINT uq_stock_balance_store_id_batch_id UNIQUE (store_id, batch_id)
);
CREATE INDEX ix_stock_balance_choice ON stock_balance (store_id, drug_id, expiry);
CREATE INDEX ix_stock_balance_expiry ON stock_balance (store_id, expiry);

CREATE TABLE stock_document (
    "number" VARCHAR(32 CHAR) NOT NULL,
    kind VARCHAR(20 CHAR) NOT NULL,
    purpose VARCHAR(30 CHAR) NOT NULL,
    state VARCHAR(12 CHAR) NOT NULL,
    store_id BIGINT NOT NULL,
    other_store_id BIGINT,
    origin_id BIGINT,
    reason VARCHAR(200 CHAR) NOT NULL,
    end_reason VARCHAR(200 CHAR),
    strict BIT NOT NULL,
    line_count INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    made_at TIMESTAMP(6) NOT NULL,
    made_by BIGINT NOT NULL,
    made_by_name VARCHAR(60 CHAR) NOT NULL,
    changed_at TIMESTAMP(6) NOT NULL,
    changed_by BIGINT NOT NULL,
    changed_by_name VARCHAR(60 CHAR) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_stock_document PRIMARY KEY (id),
    CONSTRAINT uq_stock_document_number UNIQUE ("number")
);
CREATE INDEX ix_stock_document_origin ON stock_document (origin_id);
CREATE INDEX ix_stock_document_other ON stock_document (other_store_id, kind, state);
CREATE INDEX ix_stock_document_store ON stock_document (store_id, kind, made_at);

CREATE TABLE stock_document_code (
    document_id BIGINT NOT NULL,
    line_id BIGINT NOT NULL,
    code VARCHAR(100 CHAR) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_stock_document_code PRIMARY KEY (id),
    CONSTRAINT uq_stock_document_code_document_id_code UNIQUE (document_id, code)
);
CREATE INDEX ix_stock_document_code_line ON stock_document_code (line_id);

CREATE TABLE stock_document_line (
    document_id BIGINT NOT NULL,
    position INTEGER NOT NULL,
    drug_id BIGINT NOT NULL,
    batch_id BIGINT,
    lot_no VARCHAR(40 CHAR) NOT NULL,
    expiry DATE,
    pack_cost DECIMAL(18, 4),
    pack_size INTEGER NOT NULL,
    quantity DECIMAL(18, 4) NOT NULL,
    done DECIMAL(18, 4) NOT NULL,
    supplier VARCHAR(100 CHAR) NOT NULL,
    note VARCHAR(200 CHAR) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_stock_document_line PRIMARY KEY (id),
    CONSTRAINT uq_stock_document_line_document_id_position UNIQUE (document_id, position)
);

CREATE TABLE stock_level (
    store_id BIGINT NOT NULL,
    drug_id BIGINT NOT NULL,
    least DECIMAL(18, 4) NOT NULL,
    most DECIMAL(18, 4) NOT NULL,
    changed_at TIMESTAMP(6) NOT NULL,
    changed_by_name VARCHAR(60 CHAR) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_stock_level PRIMARY KEY (id),
    CONSTRAINT uq_stock_level_store_id_drug_id UNIQUE (store_id, drug_id),
    CONSTRAINT ck_stock_level_order CHECK (least >= 0 AND most >= least)
);

CREATE TABLE stock_move (
    kind VARCHAR(20 CHAR) NOT NULL,
    store_from BIGINT,
    store_to BIGINT,
    batch_id BIGINT NOT NULL,
    drug_id BIGINT NOT NULL,
    quantity DECIMAL(18, 4) NOT NULL,
    document_kind VARCHAR(20 CHAR) NOT NULL,
    document_id BIGINT NOT NULL,
    line_id BIGINT,
    moved_at TIMESTAMP(6) NOT NULL,
    business_date DATE NOT NULL,
    actor_id BIGINT NOT NULL,
    row_mac VARCHAR(64 CHAR),
    id BIGINT NOT NULL,
    CONSTRAINT pk_stock_move PRIMARY KEY (id),
    CONSTRAINT ck_stock_move_positive CHECK (quantity > 0)
);
CREATE INDEX ix_stock_move_batch ON stock_move (batch_id);
CREATE INDEX ix_stock_move_day ON stock_move (business_date);
CREATE INDEX ix_stock_move_document ON stock_move (document_kind, document_id);
CREATE INDEX ix_stock_move_drug ON stock_move (drug_id, business_date);
CREATE INDEX ix_stock_move_moved ON stock_move (moved_at);

CREATE TABLE stock_reservation (
    document_kind VARCHAR(20 CHAR) NOT NULL,
    document_id BIGINT NOT NULL,
    line_id BIGINT NOT NULL,
    store_id BIGINT NOT NULL,
    balance_id BIGINT NOT NULL,
    batch_id BIGINT NOT NULL,
    drug_id BIGINT NOT NULL,
    quantity DECIMAL(18, 4) NOT NULL,
    state VARCHAR(10 CHAR) NOT NULL,
    reserved_at TIMESTAMP(6) NOT NULL,
    ended_at TIMESTAMP(6),
    id BIGINT NOT NULL,
    CONSTRAINT pk_stock_reservation PRIMARY KEY (id)
);
CREATE INDEX ix_stock_reservation_balance ON stock_reservation (balance_id, state);
CREATE INDEX ix_stock_reservation_document ON stock_reservation (document_kind, document_id, state);

CREATE TABLE stock_snapshot (
    day DATE NOT NULL,
    store_id BIGINT NOT NULL,
    batch_id BIGINT NOT NULL,
    drug_id BIGINT NOT NULL,
    quantity DECIMAL(18, 4) NOT NULL,
    CONSTRAINT pk_stock_snapshot PRIMARY KEY (day, store_id, batch_id)
);

CREATE TABLE stocktake (
    "number" VARCHAR(32 CHAR) NOT NULL,
    store_id BIGINT NOT NULL,
    state VARCHAR(12 CHAR) NOT NULL,
    scope VARCHAR(100 CHAR) NOT NULL,
    end_reason VARCHAR(200 CHAR),
    line_count INTEGER NOT NULL,
    made_at TIMESTAMP(6) NOT NULL,
    made_by BIGINT NOT NULL,
    made_by_name VARCHAR(60 CHAR) NOT NULL,
    changed_at TIMESTAMP(6) NOT NULL,
    changed_by_name VARCHAR(60 CHAR) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_stocktake PRIMARY KEY (id),
    CONSTRAINT uq_stocktake_number UNIQUE ("number")
);
CREATE INDEX ix_stocktake_store ON stocktake (store_id, state, made_at);

CREATE TABLE stocktake_code (
    stocktake_id BIGINT NOT NULL,
    code_id BIGINT NOT NULL,
    position INTEGER NOT NULL,
    quantity DECIMAL(18, 4) NOT NULL,
    CONSTRAINT pk_stocktake_code PRIMARY KEY (stocktake_id, code_id)
);

CREATE TABLE stocktake_line (
    stocktake_id BIGINT NOT NULL,
    position INTEGER NOT NULL,
    balance_id BIGINT NOT NULL,
    batch_id BIGINT NOT NULL,
    drug_id BIGINT NOT NULL,
    book DECIMAL(18, 4) NOT NULL,
    expected DECIMAL(18, 4),
    first_expected DECIMAL(18, 4),
    counted DECIMAL(18, 4),
    counted_at TIMESTAMP(6),
    counted_by_name VARCHAR(60 CHAR),
    merged_into INTEGER,
    CONSTRAINT pk_stocktake_line PRIMARY KEY (stocktake_id, position)
);

CREATE TABLE store (
    code VARCHAR(20 CHAR) NOT NULL,
    name VARCHAR(60 CHAR) NOT NULL,
    kind VARCHAR(20 CHAR) NOT NULL,
    department_id BIGINT,
    active BIT NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_store PRIMARY KEY (id),
    CONSTRAINT uq_store_code UNIQUE (code)
);

CREATE TABLE supplier (
    code VARCHAR(20 CHAR) NOT NULL,
    name VARCHAR(100 CHAR) NOT NULL,
    contact VARCHAR(60 CHAR) NOT NULL,
    phone VARCHAR(40 CHAR) NOT NULL,
    active BIT NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_supplier PRIMARY KEY (id),
    CONSTRAINT uq_supplier_code UNIQUE (code)
);

CREATE TABLE supplier_credit (
    "number" VARCHAR(32 CHAR) NOT NULL,
    document_id BIGINT NOT NULL,
    supplier_id BIGINT NOT NULL,
    amount DECIMAL(18, 2) NOT NULL,
    invoice_id BIGINT,
    made_at TIMESTAMP(6) NOT NULL,
    made_by_name VARCHAR(60 CHAR) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_supplier_credit PRIMARY KEY (id),
    CONSTRAINT uq_supplier_credit_document_id_supplier_id UNIQUE (document_id, supplier_id),
    CONSTRAINT ck_supplier_credit_amount CHECK (amount >= 0),
    CONSTRAINT fk_supplier_credit_supplier_id FOREIGN KEY(supplier_id) REFERENCES supplier (id)
);
CREATE INDEX ix_supplier_credit_payable ON supplier_credit (supplier_id, invoice_id);

CREATE TABLE supplier_invoice (
    "number" VARCHAR(40 CHAR) NOT NULL,
    supplier_id BIGINT NOT NULL,
    amount DECIMAL(18, 2) NOT NULL,
    invoice_date DATE NOT NULL,
    due_date DATE NOT NULL,
    state VARCHAR(10 CHAR) NOT NULL,
    made_at TIMESTAMP(6) NOT NULL,
    made_by_name VARCHAR(60 CHAR) NOT NULL,
    paid_at TIMESTAMP(6),
    paid_by_name VARCHAR(60 CHAR),
    payment_note VARCHAR(100 CHAR) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_supplier_invoice PRIMARY KEY (id),
    CONSTRAINT uq_supplier_invoice_supplier_id_number UNIQUE (supplier_id, "number"),
    CONSTRAINT fk_supplier_invoice_supplier_id FOREIGN KEY(supplier_id) REFERENCES supplier (id)
);
CREATE INDEX ix_supplier_invoice_state ON supplier_invoice (state, due_date);

CREATE TABLE supplier_paper (
    supplier_id BIGINT NOT NULL,
    kind VARCHAR(20 CHAR) NOT NULL,
    "number" VARCHAR(60 CHAR) NOT NULL,
    valid_from DATE NOT NULL,
    valid_to DATE NOT NULL,
    note VARCHAR(200 CHAR) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_supplier_paper PRIMARY KEY (id),
    CONSTRAINT fk_supplier_paper_supplier_id FOREIGN KEY(supplier_id) REFERENCES supplier (id)
);
CREATE INDEX ix_supplier_paper_end ON supplier_paper (valid_to);
CREATE INDEX ix_supplier_paper_supplier_id ON supplier_paper (supplier_id);

CREATE TABLE supplier_search (
    owner_id BIGINT NOT NULL,
    kind VARCHAR(8 CHAR) NOT NULL,
    search_key VARCHAR(64 CHAR) NOT NULL,
    part SMALLINT NOT NULL,
    CONSTRAINT pk_supplier_search PRIMARY KEY (owner_id, kind, search_key),
    CONSTRAINT fk_supplier_search_owner_id FOREIGN KEY(owner_id) REFERENCES supplier (id) ON DELETE CASCADE
);
CREATE INDEX ix_supplier_search_key ON supplier_search (part, search_key, owner_id, kind);

CREATE TABLE synced_entry (
    interface VARCHAR(40 CHAR) NOT NULL,
    dictionary VARCHAR(20 CHAR) NOT NULL,
    code VARCHAR(60 CHAR) NOT NULL,
    digest VARCHAR(64 CHAR) NOT NULL,
    sent_at TIMESTAMP(6) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_synced_entry PRIMARY KEY (id),
    CONSTRAINT uq_synced_entry_interface_dictionary_code UNIQUE (interface, dictionary, code)
);

CREATE TABLE trace_code (
    code VARCHAR(100 CHAR) NOT NULL,
    drug_id BIGINT NOT NULL,
    batch_id BIGINT,
    store_id BIGINT,
    state VARCHAR(12 CHAR) NOT NULL,
    quantity DECIMAL(18, 4) NOT NULL,
    remaining DECIMAL(18, 4) NOT NULL,
    changed_at TIMESTAMP(6) NOT NULL,
    changed_by_name VARCHAR(60 CHAR) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_trace_code PRIMARY KEY (id),
    CONSTRAINT uq_trace_code_code UNIQUE (code),
    CONSTRAINT ck_trace_code_remaining CHECK (remaining >= 0 AND remaining <= quantity)
);
CREATE INDEX ix_trace_code_batch ON trace_code (batch_id);
CREATE INDEX ix_trace_code_store ON trace_code (store_id, drug_id, state);

CREATE TABLE trace_move (
    code_id BIGINT NOT NULL,
    act VARCHAR(12 CHAR) NOT NULL,
    quantity DECIMAL(18, 4) NOT NULL,
    store_from BIGINT,
    store_to BIGINT,
    document_kind VARCHAR(20 CHAR) NOT NULL,
    document_id BIGINT NOT NULL,
    line_id BIGINT,
    upload_id BIGINT,
    moved_at TIMESTAMP(6) NOT NULL,
    actor_id BIGINT NOT NULL,
    actor_name VARCHAR(60 CHAR) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_trace_move PRIMARY KEY (id)
);
CREATE INDEX ix_trace_move_code ON trace_move (code_id, moved_at);
CREATE INDEX ix_trace_move_document ON trace_move (document_kind, document_id, line_id);
CREATE INDEX ix_trace_move_upload ON trace_move (upload_id);

CREATE TABLE trace_pack (
    code VARCHAR(100 CHAR) NOT NULL,
    parent VARCHAR(100 CHAR),
    smallest BIT NOT NULL,
    source VARCHAR(10 CHAR) NOT NULL,
    seen_at TIMESTAMP(6) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_trace_pack PRIMARY KEY (id),
    CONSTRAINT uq_trace_pack_code UNIQUE (code)
);
CREATE INDEX ix_trace_pack_parent ON trace_pack (parent);

CREATE TABLE trace_upload (
    serial VARCHAR(30 CHAR) NOT NULL,
    act VARCHAR(12 CHAR) NOT NULL,
    document_kind VARCHAR(20 CHAR) NOT NULL,
    document_id BIGINT NOT NULL,
    line_id BIGINT,
    store_id BIGINT,
    drug_id BIGINT NOT NULL,
    quantity DECIMAL(18, 4) NOT NULL,
    codes INTEGER NOT NULL,
    state VARCHAR(10 CHAR) NOT NULL,
    attempts INTEGER NOT NULL,
    message VARCHAR(300 CHAR) NOT NULL,
    peer_number VARCHAR(60 CHAR) NOT NULL,
    business_date DATE NOT NULL,
    created_at TIMESTAMP(6) NOT NULL,
    sent_at TIMESTAMP(6),
    id BIGINT NOT NULL,
    CONSTRAINT pk_trace_upload PRIMARY KEY (id),
    CONSTRAINT uq_trace_upload_serial UNIQUE (serial)
);
CREATE INDEX ix_trace_upload_day ON trace_upload (business_date, act, drug_id);
CREATE INDEX ix_trace_upload_state ON trace_upload (state, business_date);

CREATE TABLE user_preference (
    user_id BIGINT NOT NULL,
    name VARCHAR(60 CHAR) NOT NULL,
    chosen VARCHAR(500 CHAR) NOT NULL,
    changed_at TIMESTAMP(6) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_user_preference PRIMARY KEY (id),
    CONSTRAINT uq_user_preference_user_id_name UNIQUE (user_id, name)
);

CREATE TABLE ward (
    code VARCHAR(20 CHAR) NOT NULL,
    name VARCHAR(60 CHAR) NOT NULL,
    department_id BIGINT NOT NULL,
    beds INTEGER NOT NULL,
    active BIT NOT NULL,
    revision INTEGER DEFAULT '1' NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_ward PRIMARY KEY (id),
    CONSTRAINT uq_ward_code UNIQUE (code),
    CONSTRAINT fk_ward_department_id FOREIGN KEY(department_id) REFERENCES department (id)
);
CREATE INDEX ix_ward_department_id ON ward (department_id);

CREATE TABLE ward_return_acting (
    return_id BIGINT NOT NULL,
    "number" VARCHAR(32 CHAR) NOT NULL,
    person_id BIGINT NOT NULL,
    store_id BIGINT NOT NULL,
    acting_store_id BIGINT NOT NULL,
    asked_ward VARCHAR(60 CHAR) NOT NULL,
    present_ward VARCHAR(60 CHAR) NOT NULL,
    acted_at TIMESTAMP(6) NOT NULL,
    business_date DATE NOT NULL,
    acted_by BIGINT NOT NULL,
    acted_by_name VARCHAR(60 CHAR) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_ward_return_acting PRIMARY KEY (id),
    CONSTRAINT uq_ward_return_acting_return_id UNIQUE (return_id)
);
CREATE INDEX ix_ward_return_acting_day ON ward_return_acting (acting_store_id, business_date);

CREATE TABLE ward_return_batch (
    acting_id BIGINT NOT NULL,
    line_id BIGINT NOT NULL,
    drug_id BIGINT NOT NULL,
    batch_id BIGINT NOT NULL,
    quantity DECIMAL(18, 4) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_ward_return_batch PRIMARY KEY (id),
    CONSTRAINT ck_ward_return_batch_positive CHECK (quantity > 0),
    CONSTRAINT fk_ward_return_batch_acting_id FOREIGN KEY(acting_id) REFERENCES ward_return_acting (id)
);
CREATE INDEX ix_ward_return_batch_acting_id ON ward_return_batch (acting_id);
