CREATE TABLE alembic_version (
    version_num VARCHAR(32) NOT NULL,
    CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);

CREATE TABLE batch (
    drug_id BIGINT NOT NULL,
    lot_no VARCHAR(40) NOT NULL,
    expiry DATE NOT NULL,
    pack_cost BIGINT NOT NULL,
    pack_size INTEGER NOT NULL,
    supplier VARCHAR(100),
    created_at DATETIME NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT ck_batch_pack_size CHECK (pack_size > 0),
    CONSTRAINT pk_batch PRIMARY KEY (id),
    CONSTRAINT uq_batch_drug_id_lot_no_expiry_pack_cost_pack_size UNIQUE (drug_id, lot_no, expiry, pack_cost, pack_size)
);

CREATE TABLE channel_statement (
    channel VARCHAR(20) NOT NULL,
    day DATE NOT NULL,
    row_count INTEGER NOT NULL,
    paid BIGINT NOT NULL,
    returned BIGINT NOT NULL,
    fees BIGINT NOT NULL,
    matched INTEGER NOT NULL,
    fetched_at DATETIME NOT NULL,
    fetched_by_name VARCHAR(60) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_channel_statement PRIMARY KEY (id),
    CONSTRAINT uq_channel_statement_channel_day UNIQUE (channel, day)
);

CREATE INDEX ix_channel_statement_day ON channel_statement (day, id);

CREATE TABLE charge_item (
    code VARCHAR(40) NOT NULL,
    name VARCHAR(120) NOT NULL,
    unit VARCHAR(20) NOT NULL,
    fiscal_category VARCHAR(4) NOT NULL,
    insurance_level VARCHAR(4) NOT NULL,
    performing_kind VARCHAR(10) NOT NULL,
    aliases VARCHAR(200) NOT NULL,
    active BOOLEAN NOT NULL,
    revision INTEGER NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_charge_item PRIMARY KEY (id),
    CONSTRAINT uq_charge_item_code UNIQUE (code)
);

CREATE TABLE charge_line (
    person_id BIGINT NOT NULL,
    encounter_id BIGINT NOT NULL,
    source VARCHAR(20) NOT NULL,
    source_id BIGINT NOT NULL,
    source_line_id BIGINT NOT NULL,
    kind VARCHAR(10) NOT NULL,
    item_id BIGINT NOT NULL,
    code VARCHAR(40) NOT NULL,
    name VARCHAR(120) NOT NULL,
    spec VARCHAR(120),
    unit VARCHAR(20) NOT NULL,
    price BIGINT NOT NULL,
    quantity BIGINT NOT NULL,
    factor BIGINT NOT NULL,
    amount BIGINT NOT NULL,
    fiscal_category VARCHAR(4) NOT NULL,
    insurance_level VARCHAR(4),
    ordering_department_id BIGINT,
    ordering_staff_id BIGINT,
    performing_department_id BIGINT,
    state VARCHAR(10) NOT NULL,
    settlement_id BIGINT,
    receipt_id BIGINT,
    reverses_line_id BIGINT,
    created_at DATETIME NOT NULL,
    created_by BIGINT NOT NULL,
    row_mac VARCHAR(64),
    id BIGINT NOT NULL,
    CONSTRAINT ck_charge_line_settlement CHECK (state = 'settled' OR settlement_id IS NULL),
    CONSTRAINT pk_charge_line PRIMARY KEY (id)
);

CREATE INDEX ix_charge_line_created ON charge_line (created_at);

CREATE INDEX ix_charge_line_person ON charge_line (person_id, state);

CREATE INDEX ix_charge_line_reverses ON charge_line (reverses_line_id);

CREATE INDEX ix_charge_line_settlement ON charge_line (settlement_id);

CREATE INDEX ix_charge_line_source ON charge_line (source, source_id);

CREATE TABLE charge_line_state (
    line_id BIGINT NOT NULL,
    quantity BIGINT NOT NULL,
    performed BIGINT NOT NULL,
    refunded BIGINT NOT NULL,
    CONSTRAINT ck_charge_line_state_bounds CHECK (performed >= 0 AND refunded >= 0 AND performed + refunded <= quantity),
    CONSTRAINT pk_charge_line_state PRIMARY KEY (line_id)
);

CREATE TABLE controlled_return (
    number VARCHAR(32) NOT NULL,
    store_id BIGINT NOT NULL,
    prescription_line_id BIGINT NOT NULL,
    drug_id BIGINT NOT NULL,
    batch_id BIGINT NOT NULL,
    kind VARCHAR(10) NOT NULL,
    quantity BIGINT NOT NULL,
    brought_by VARCHAR(60) NOT NULL,
    received_at DATETIME NOT NULL,
    business_date DATE NOT NULL,
    received_by BIGINT NOT NULL,
    received_by_name VARCHAR(60) NOT NULL,
    witness_name VARCHAR(60) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT ck_controlled_return_positive CHECK (quantity > 0),
    CONSTRAINT pk_controlled_return PRIMARY KEY (id),
    CONSTRAINT uq_controlled_return_number UNIQUE (number)
);

CREATE INDEX ix_controlled_return_day ON controlled_return (store_id, business_date);

CREATE INDEX ix_controlled_return_line ON controlled_return (prescription_line_id);

CREATE TABLE department (
    code VARCHAR(20) NOT NULL,
    name VARCHAR(60) NOT NULL,
    kind VARCHAR(10) NOT NULL,
    parent_id BIGINT,
    outpatient BOOLEAN NOT NULL,
    emergency BOOLEAN NOT NULL,
    building VARCHAR(40) NOT NULL,
    active BOOLEAN NOT NULL,
    revision INTEGER DEFAULT '1' NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT fk_department_parent_id FOREIGN KEY(parent_id) REFERENCES department (id),
    CONSTRAINT pk_department PRIMARY KEY (id),
    CONSTRAINT uq_department_code UNIQUE (code)
);

CREATE TABLE diagnosis (
    code VARCHAR(40) NOT NULL,
    name VARCHAR(120) NOT NULL,
    category VARCHAR(60) NOT NULL,
    aliases VARCHAR(200) NOT NULL,
    active BOOLEAN NOT NULL,
    revision INTEGER DEFAULT '1' NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_diagnosis PRIMARY KEY (id),
    CONSTRAINT uq_diagnosis_code UNIQUE (code)
);

CREATE TABLE dictionary_entry (
    dictionary VARCHAR(30) NOT NULL,
    code VARCHAR(30) NOT NULL,
    name VARCHAR(80) NOT NULL,
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
    code VARCHAR(100) NOT NULL,
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
    state VARCHAR(10) NOT NULL,
    arrived_at DATETIME NOT NULL,
    business_date DATE NOT NULL,
    call_state VARCHAR(10) NOT NULL,
    called_at DATETIME,
    calls INTEGER NOT NULL,
    reviewed_by BIGINT,
    reviewed_by_name VARCHAR(60) NOT NULL,
    reviewed_at DATETIME,
    review_note VARCHAR(200) NOT NULL,
    answered_by_name VARCHAR(60) NOT NULL,
    answered_at DATETIME,
    answer VARCHAR(200) NOT NULL,
    picked_by BIGINT,
    picked_by_name VARCHAR(60) NOT NULL,
    picked_at DATETIME,
    checked_by BIGINT,
    checked_by_name VARCHAR(60) NOT NULL,
    finished_at DATETIME,
    changed_at DATETIME NOT NULL,
    changed_by_name VARCHAR(60) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_dispensing_task PRIMARY KEY (id),
    CONSTRAINT uq_dispensing_task_prescription_id_settlement_id UNIQUE (prescription_id, settlement_id)
);

CREATE INDEX ix_dispensing_task_day ON dispensing_task (store_id, business_date);

CREATE INDEX ix_dispensing_task_person ON dispensing_task (person_id, business_date);

CREATE INDEX ix_dispensing_task_queue ON dispensing_task (store_id, state, arrived_at);

CREATE INDEX ix_dispensing_task_settlement ON dispensing_task (settlement_id);

CREATE TABLE drug (
    code VARCHAR(40) NOT NULL,
    name VARCHAR(120) NOT NULL,
    form VARCHAR(40) NOT NULL,
    spec VARCHAR(80) NOT NULL,
    dose_amount BIGINT,
    dose_unit VARCHAR(20) NOT NULL,
    base_unit VARCHAR(20) NOT NULL,
    pack_unit VARCHAR(20) NOT NULL,
    pack_size INTEGER NOT NULL,
    manufacturer VARCHAR(120) NOT NULL,
    fiscal_category VARCHAR(4) NOT NULL,
    control VARCHAR(10) NOT NULL,
    antimicrobial VARCHAR(10) NOT NULL,
    tb BOOLEAN NOT NULL,
    skin_test BOOLEAN NOT NULL,
    splittable BOOLEAN NOT NULL,
    insurance_level VARCHAR(4) NOT NULL,
    default_usage VARCHAR(20) NOT NULL,
    default_frequency VARCHAR(20) NOT NULL,
    otc BOOLEAN NOT NULL,
    ingredient VARCHAR(60) NOT NULL,
    drug_class VARCHAR(30) NOT NULL,
    release VARCHAR(10) NOT NULL,
    max_dose BIGINT,
    max_daily BIGINT,
    chronic_infections VARCHAR(20) NOT NULL,
    aliases VARCHAR(200) NOT NULL,
    active BOOLEAN NOT NULL,
    revision INTEGER NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT ck_drug_pack_size CHECK (pack_size > 0),
    CONSTRAINT pk_drug PRIMARY KEY (id),
    CONSTRAINT uq_drug_code UNIQUE (code)
);

CREATE TABLE drug_check (
    person_id BIGINT NOT NULL,
    digest VARCHAR(64) NOT NULL,
    state VARCHAR(12) NOT NULL,
    checked_at DATETIME NOT NULL,
    checked_by BIGINT NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_drug_check PRIMARY KEY (id)
);

CREATE INDEX ix_drug_check_person ON drug_check (person_id, checked_at);

CREATE TABLE drug_location (
    store_id BIGINT NOT NULL,
    drug_id BIGINT NOT NULL,
    shelf VARCHAR(20) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_drug_location PRIMARY KEY (id),
    CONSTRAINT uq_drug_location_store_id_drug_id UNIQUE (store_id, drug_id)
);

CREATE TABLE drug_notice (
    number VARCHAR(32) NOT NULL,
    kind VARCHAR(12) NOT NULL,
    drug_id BIGINT NOT NULL,
    reason VARCHAR(300) NOT NULL,
    substitute VARCHAR(200) NOT NULL,
    state VARCHAR(10) NOT NULL,
    valid_from DATE NOT NULL,
    valid_to DATE,
    made_at DATETIME NOT NULL,
    made_by_name VARCHAR(60) NOT NULL,
    ended_at DATETIME,
    ended_by_name VARCHAR(60),
    end_reason VARCHAR(200) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_drug_notice PRIMARY KEY (id),
    CONSTRAINT uq_drug_notice_number UNIQUE (number)
);

CREATE INDEX ix_drug_notice_drug ON drug_notice (drug_id, state);

CREATE INDEX ix_drug_notice_made ON drug_notice (made_at);

CREATE TABLE drug_notice_read (
    notice_id BIGINT NOT NULL,
    user_id BIGINT NOT NULL,
    user_name VARCHAR(60) NOT NULL,
    read_at DATETIME NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_drug_notice_read PRIMARY KEY (id),
    CONSTRAINT uq_drug_notice_read_notice_id_user_id UNIQUE (notice_id, user_id)
);

CREATE INDEX ix_drug_notice_read_user_id ON drug_notice_read (user_id);

CREATE TABLE drug_price_change (
    number VARCHAR(32) NOT NULL,
    drug_id BIGINT NOT NULL,
    old_price BIGINT NOT NULL,
    new_price BIGINT NOT NULL,
    valid_from DATE NOT NULL,
    reason VARCHAR(200) NOT NULL,
    state VARCHAR(10) NOT NULL,
    amount BIGINT,
    made_at DATETIME NOT NULL,
    made_by_name VARCHAR(60) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_drug_price_change PRIMARY KEY (id),
    CONSTRAINT uq_drug_price_change_number UNIQUE (number)
);

CREATE INDEX ix_drug_price_change_drug ON drug_price_change (drug_id, valid_from);

CREATE INDEX ix_drug_price_change_due ON drug_price_change (state, valid_from);

CREATE TABLE drug_return (
    number VARCHAR(32) NOT NULL,
    prescription_id BIGINT NOT NULL,
    person_id BIGINT NOT NULL,
    store_id BIGINT NOT NULL,
    state VARCHAR(10) NOT NULL,
    reason VARCHAR(200) NOT NULL,
    amount BIGINT NOT NULL,
    controlled BOOLEAN NOT NULL,
    automatic BOOLEAN NOT NULL,
    requested_at DATETIME NOT NULL,
    requested_by BIGINT NOT NULL,
    requested_by_name VARCHAR(60) NOT NULL,
    business_date DATE NOT NULL,
    reviewed_at DATETIME,
    reviewed_by_name VARCHAR(60) NOT NULL,
    review_note VARCHAR(200) NOT NULL,
    accepted_at DATETIME,
    accepted_by BIGINT,
    accepted_by_name VARCHAR(60) NOT NULL,
    refunded_at DATETIME,
    rereviewed_at DATETIME,
    rereviewed_by_name VARCHAR(60) NOT NULL,
    rereview VARCHAR(10) NOT NULL,
    rereview_note VARCHAR(200) NOT NULL,
    changed_at DATETIME NOT NULL,
    changed_by_name VARCHAR(60) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_drug_return PRIMARY KEY (id),
    CONSTRAINT uq_drug_return_number UNIQUE (number)
);

CREATE INDEX ix_drug_return_morning ON drug_return (store_id, automatic, rereviewed_at);

CREATE INDEX ix_drug_return_prescription ON drug_return (prescription_id);

CREATE INDEX ix_drug_return_store ON drug_return (store_id, state, business_date);

CREATE TABLE ecard_reading (
    raw_index VARCHAR(64) NOT NULL,
    card_no_sealed BLOB,
    serial_sealed BLOB,
    expires_at DATETIME NOT NULL,
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
    colour VARCHAR(4) NOT NULL,
    kind VARCHAR(12) NOT NULL,
    state VARCHAR(10) NOT NULL,
    amount BIGINT NOT NULL,
    code VARCHAR(20),
    invoice_number VARCHAR(20),
    check_code VARCHAR(20),
    picture_url VARCHAR(300),
    original_id BIGINT,
    after_id BIGINT,
    reason VARCHAR(200),
    cashier_id BIGINT NOT NULL,
    cashier_name VARCHAR(60) NOT NULL,
    business_date DATE NOT NULL,
    made_at DATETIME NOT NULL,
    issued_at DATETIME,
    id BIGINT NOT NULL,
    CONSTRAINT pk_electronic_invoice PRIMARY KEY (id),
    CONSTRAINT uq_electronic_invoice_intent_id UNIQUE (intent_id),
    CONSTRAINT uq_electronic_invoice_original_id UNIQUE (original_id),
    CONSTRAINT uq_electronic_invoice_settlement_id_colour UNIQUE (settlement_id, colour)
);

CREATE INDEX ix_electronic_invoice_cashier ON electronic_invoice (cashier_id, business_date, id);

CREATE INDEX ix_electronic_invoice_day ON electronic_invoice (business_date, id);

CREATE INDEX ix_electronic_invoice_number ON electronic_invoice (invoice_number);

CREATE INDEX ix_electronic_invoice_person ON electronic_invoice (person_id, business_date, id);

CREATE INDEX ix_electronic_invoice_root ON electronic_invoice (root_id);

CREATE INDEX ix_electronic_invoice_state ON electronic_invoice (state, business_date, id);

CREATE TABLE encounter (
    visit_no VARCHAR(20) NOT NULL,
    person_id BIGINT NOT NULL,
    kind VARCHAR(10) NOT NULL,
    department_id BIGINT NOT NULL,
    doctor_id BIGINT,
    state VARCHAR(10) NOT NULL,
    insurance VARCHAR(20) NOT NULL,
    started_at DATETIME NOT NULL,
    business_date DATE NOT NULL,
    changed_at DATETIME NOT NULL,
    changed_by BIGINT NOT NULL,
    changed_by_name VARCHAR(60) NOT NULL,
    cancel_reason VARCHAR(200),
    row_mac VARCHAR(64),
    id BIGINT NOT NULL,
    CONSTRAINT pk_encounter PRIMARY KEY (id),
    CONSTRAINT uq_encounter_visit_no UNIQUE (visit_no)
);

CREATE INDEX ix_encounter_day ON encounter (business_date, department_id, state);

CREATE INDEX ix_encounter_person ON encounter (person_id, business_date);

CREATE TABLE field_change (
    entity VARCHAR(60) NOT NULL,
    entity_id BIGINT NOT NULL,
    field VARCHAR(60) NOT NULL,
    before_sealed BLOB,
    after_sealed BLOB,
    changed_at DATETIME NOT NULL,
    changed_by BIGINT NOT NULL,
    changed_by_name VARCHAR(60) NOT NULL,
    terminal VARCHAR(60) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_field_change PRIMARY KEY (id)
);

CREATE INDEX ix_field_change_row ON field_change (entity, entity_id, changed_at);

CREATE TABLE frequency (
    code VARCHAR(20) NOT NULL,
    name VARCHAR(40) NOT NULL,
    times_per_day INTEGER,
    interval_days INTEGER,
    id BIGINT NOT NULL,
    CONSTRAINT pk_frequency PRIMARY KEY (id),
    CONSTRAINT uq_frequency_code UNIQUE (code)
);

CREATE TABLE idempotency_key (
    actor_id BIGINT NOT NULL,
    "key" VARCHAR(80) NOT NULL,
    request_hash VARCHAR(64) NOT NULL,
    status INTEGER NOT NULL,
    body_sealed BLOB NOT NULL,
    created_at DATETIME NOT NULL,
    CONSTRAINT pk_idempotency_key PRIMARY KEY (actor_id, "key")
);

CREATE INDEX ix_idempotency_key_created_at ON idempotency_key (created_at);

CREATE TABLE infusion (
    number VARCHAR(20) NOT NULL,
    queue_no INTEGER NOT NULL,
    person_id BIGINT NOT NULL,
    encounter_id BIGINT NOT NULL,
    prescription_id BIGINT NOT NULL,
    prescription_number VARCHAR(32) NOT NULL,
    department_id BIGINT NOT NULL,
    kind VARCHAR(10) NOT NULL,
    doctor_name VARCHAR(60) NOT NULL,
    business_date DATE NOT NULL,
    state VARCHAR(10) NOT NULL,
    seat_id BIGINT,
    running_bottle_id BIGINT,
    received_at DATETIME NOT NULL,
    received_by_name VARCHAR(60) NOT NULL,
    looked_at DATETIME,
    changed_at DATETIME NOT NULL,
    changed_by_name VARCHAR(60) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_infusion PRIMARY KEY (id),
    CONSTRAINT uq_infusion_number UNIQUE (number),
    CONSTRAINT uq_infusion_prescription_id_business_date UNIQUE (prescription_id, business_date)
);

CREATE INDEX ix_infusion_day ON infusion (business_date, state, queue_no);

CREATE INDEX ix_infusion_person ON infusion (person_id, business_date);

CREATE TABLE infusion_seat (
    code VARCHAR(10) NOT NULL,
    area VARCHAR(20) NOT NULL,
    kind VARCHAR(10) NOT NULL,
    position INTEGER NOT NULL,
    active BOOLEAN NOT NULL,
    infusion_id BIGINT,
    changed_at DATETIME NOT NULL,
    changed_by_name VARCHAR(60) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_infusion_seat PRIMARY KEY (id),
    CONSTRAINT uq_infusion_seat_code UNIQUE (code),
    CONSTRAINT uq_infusion_seat_infusion_id UNIQUE (infusion_id)
);

CREATE TABLE insurance_claim (
    intent_id BIGINT NOT NULL,
    kind VARCHAR(12) NOT NULL,
    person_id BIGINT NOT NULL,
    encounter_id BIGINT NOT NULL,
    settlement_id BIGINT,
    replaces_id BIGINT,
    insurance VARCHAR(6) NOT NULL,
    area VARCHAR(6) NOT NULL,
    use_account BOOLEAN NOT NULL,
    member_no_sealed BLOB,
    total BIGINT NOT NULL,
    fund BIGINT NOT NULL,
    account BIGINT NOT NULL,
    shared_account BIGINT NOT NULL,
    cash BIGINT NOT NULL,
    hospital BIGINT NOT NULL,
    own_expense BIGINT NOT NULL,
    over_limit BIGINT NOT NULL,
    self_first BIGINT NOT NULL,
    in_scope BIGINT NOT NULL,
    balance BIGINT,
    peer_visit VARCHAR(40),
    answered VARCHAR(200),
    "plan" TEXT NOT NULL,
    made_at DATETIME NOT NULL,
    clearing VARCHAR(6) NOT NULL,
    agency VARCHAR(6),
    peer_settled_at DATETIME,
    peer_reversed_at DATETIME,
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
    state VARCHAR(10) NOT NULL,
    booked_id BIGINT,
    approval_id BIGINT,
    request_key VARCHAR(120),
    message VARCHAR(200),
    channel VARCHAR(20) NOT NULL,
    opened_at DATETIME NOT NULL,
    opened_by BIGINT NOT NULL,
    opened_by_name VARCHAR(60) NOT NULL,
    changed_at DATETIME NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_insurance_conversion PRIMARY KEY (id),
    CONSTRAINT uq_insurance_conversion_claim_id UNIQUE (claim_id),
    CONSTRAINT uq_insurance_conversion_request_key UNIQUE (request_key),
    CONSTRAINT uq_insurance_conversion_settlement_id_live UNIQUE (settlement_id, live)
);

CREATE INDEX ix_insurance_conversion_state ON insurance_conversion (state, changed_at);

CREATE TABLE insurance_difference (
    statement_id BIGINT NOT NULL,
    kind VARCHAR(14) NOT NULL,
    peer_key VARCHAR(64) NOT NULL,
    claim_id BIGINT,
    peer_number VARCHAR(40) NOT NULL,
    peer_visit VARCHAR(40) NOT NULL,
    message_id VARCHAR(40) NOT NULL,
    member_no_sealed BLOB,
    refund BOOLEAN NOT NULL,
    our_total BIGINT,
    our_fund BIGINT,
    our_account BIGINT,
    their_total BIGINT,
    their_fund BIGINT,
    their_account BIGINT,
    memo VARCHAR(200) NOT NULL,
    state VARCHAR(10) NOT NULL,
    number VARCHAR(40),
    reason VARCHAR(200),
    message VARCHAR(200),
    found_at DATETIME NOT NULL,
    proposed_by BIGINT,
    proposed_by_name VARCHAR(60),
    decided_by BIGINT,
    decided_by_name VARCHAR(60),
    decided_at DATETIME,
    id BIGINT NOT NULL,
    CONSTRAINT pk_insurance_difference PRIMARY KEY (id),
    CONSTRAINT uq_insurance_difference_statement_id_kind_peer_key UNIQUE (statement_id, kind, peer_key)
);

CREATE INDEX ix_insurance_difference_state ON insurance_difference (state, id);

CREATE TABLE insurance_entry (
    list_type VARCHAR(3) NOT NULL,
    code VARCHAR(50) NOT NULL,
    name VARCHAR(200) NOT NULL,
    spec VARCHAR(200) NOT NULL,
    manufacturer VARCHAR(200) NOT NULL,
    unit VARCHAR(50) NOT NULL,
    level VARCHAR(3) NOT NULL,
    limit_price BIGINT,
    valid_from DATE,
    valid_to DATE,
    active BOOLEAN NOT NULL,
    version VARCHAR(20) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_insurance_entry PRIMARY KEY (id),
    CONSTRAINT uq_insurance_entry_list_type_code UNIQUE (list_type, code)
);

CREATE INDEX ix_insurance_entry_name ON insurance_entry (list_type, name, id);

CREATE TABLE insurance_mapping (
    kind VARCHAR(4) NOT NULL,
    code VARCHAR(40) NOT NULL,
    list_type VARCHAR(3) NOT NULL,
    national VARCHAR(50) NOT NULL,
    valid_from DATE NOT NULL,
    valid_to DATE,
    state VARCHAR(10) NOT NULL,
    message VARCHAR(200) NOT NULL,
    changed_at DATETIME,
    changed_by_name VARCHAR(60) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT ck_insurance_mapping_order CHECK (valid_to IS NULL OR valid_to > valid_from),
    CONSTRAINT pk_insurance_mapping PRIMARY KEY (id),
    CONSTRAINT uq_insurance_mapping_kind_code_valid_from UNIQUE (kind, code, valid_from)
);

CREATE INDEX ix_insurance_mapping_national ON insurance_mapping (national);

CREATE INDEX ix_insurance_mapping_state ON insurance_mapping (state, id);

CREATE TABLE insurance_statement (
    number VARCHAR(40) NOT NULL,
    monthly INTEGER NOT NULL,
    begin_day DATE NOT NULL,
    end_day DATE NOT NULL,
    insurance VARCHAR(6) NOT NULL,
    clearing VARCHAR(6) NOT NULL,
    agency VARCHAR(6) NOT NULL,
    revision INTEGER NOT NULL,
    live INTEGER,
    state VARCHAR(10) NOT NULL,
    pending VARCHAR(10),
    entries INTEGER NOT NULL,
    refunds INTEGER NOT NULL,
    total BIGINT NOT NULL,
    fund BIGINT NOT NULL,
    account BIGINT NOT NULL,
    cash BIGINT NOT NULL,
    hospital BIGINT NOT NULL,
    handover_no VARCHAR(64),
    message VARCHAR(200),
    made_at DATETIME NOT NULL,
    changed_at DATETIME NOT NULL,
    changed_by_name VARCHAR(60) NOT NULL,
    compared_at DATETIME,
    confirmed_at DATETIME,
    id BIGINT NOT NULL,
    CONSTRAINT pk_insurance_statement PRIMARY KEY (id),
    CONSTRAINT uq_insurance_statement_monthly_begin_day_insurance_clearing_agency_live UNIQUE (monthly, begin_day, insurance, clearing, agency, live),
    CONSTRAINT uq_insurance_statement_number UNIQUE (number)
);

CREATE INDEX ix_insurance_statement_day ON insurance_statement (monthly, begin_day, id);

CREATE INDEX ix_insurance_statement_pending ON insurance_statement (pending, changed_at);

CREATE TABLE integrity_head (
    scope VARCHAR(40) NOT NULL,
    version BIGINT NOT NULL,
    sets INTEGER NOT NULL,
    digest VARCHAR(64) NOT NULL,
    CONSTRAINT pk_integrity_head PRIMARY KEY (scope)
);

CREATE TABLE integrity_set (
    scope VARCHAR(40) NOT NULL,
    owner VARCHAR(60) NOT NULL,
    version BIGINT NOT NULL,
    mac VARCHAR(64) NOT NULL,
    CONSTRAINT pk_integrity_set PRIMARY KEY (scope, owner)
);

CREATE TABLE intent (
    number VARCHAR(40) NOT NULL,
    purpose VARCHAR(10) NOT NULL,
    channel VARCHAR(20) NOT NULL,
    person_id BIGINT NOT NULL,
    amount BIGINT NOT NULL,
    state VARCHAR(12) NOT NULL,
    settlement_id BIGINT,
    returns_intent_id BIGINT,
    held_by_id BIGINT,
    peer_number VARCHAR(64),
    message VARCHAR(200),
    tries INTEGER NOT NULL,
    created_at DATETIME NOT NULL,
    created_by BIGINT NOT NULL,
    created_by_name VARCHAR(60) NOT NULL,
    changed_at DATETIME NOT NULL,
    owner_id BIGINT,
    owner_name VARCHAR(60),
    decision VARCHAR(200),
    decided_by BIGINT,
    decided_by_name VARCHAR(60),
    decided_at DATETIME,
    id BIGINT NOT NULL,
    CONSTRAINT pk_intent PRIMARY KEY (id),
    CONSTRAINT uq_intent_number UNIQUE (number)
);

CREATE INDEX ix_intent_channel ON intent (channel, purpose, id);

CREATE INDEX ix_intent_held_by ON intent (held_by_id);

CREATE INDEX ix_intent_person ON intent (person_id);

CREATE INDEX ix_intent_state ON intent (state, changed_at);

CREATE TABLE intent_try (
    intent_id BIGINT NOT NULL,
    act VARCHAR(12) NOT NULL,
    at DATETIME NOT NULL,
    outcome VARCHAR(12) NOT NULL,
    message VARCHAR(200),
    cause VARCHAR(30),
    by_name VARCHAR(60) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_intent_try PRIMARY KEY (id)
);

CREATE INDEX ix_intent_try_at ON intent_try (at, id);

CREATE INDEX ix_intent_try_intent ON intent_try (intent_id, at);

CREATE TABLE interface_call (
    started_at DATETIME NOT NULL,
    hour VARCHAR(10) NOT NULL,
    trace_id VARCHAR(40) NOT NULL,
    interface VARCHAR(40) NOT NULL,
    operation VARCHAR(40) NOT NULL,
    direction VARCHAR(3) NOT NULL,
    business_key VARCHAR(60) NOT NULL,
    person_id BIGINT,
    actor_id BIGINT NOT NULL,
    actor_name VARCHAR(60) NOT NULL,
    outcome VARCHAR(10) NOT NULL,
    peer_number VARCHAR(64),
    message VARCHAR(300) NOT NULL,
    duration_ms INTEGER NOT NULL,
    request_size INTEGER NOT NULL,
    answer_size INTEGER NOT NULL,
    request_masked TEXT NOT NULL,
    answer_masked TEXT NOT NULL,
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
    term VARCHAR(64) NOT NULL,
    call_id BIGINT NOT NULL,
    CONSTRAINT pk_interface_call_term PRIMARY KEY (term, call_id)
);

CREATE INDEX ix_interface_call_term_call ON interface_call_term (call_id);

CREATE TABLE invoice_check (
    day DATE NOT NULL,
    state VARCHAR(10) NOT NULL,
    message VARCHAR(200),
    ours_issued INTEGER NOT NULL,
    ours_amount BIGINT NOT NULL,
    ours_red INTEGER NOT NULL,
    ours_red_amount BIGINT NOT NULL,
    theirs_issued INTEGER NOT NULL,
    theirs_amount BIGINT NOT NULL,
    theirs_red INTEGER NOT NULL,
    theirs_red_amount BIGINT NOT NULL,
    checked_at DATETIME NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_invoice_check PRIMARY KEY (id),
    CONSTRAINT uq_invoice_check_day UNIQUE (day)
);

CREATE TABLE invoice_difference (
    day DATE NOT NULL,
    kind VARCHAR(12) NOT NULL,
    colour VARCHAR(4) NOT NULL,
    invoice_id BIGINT,
    bus_no VARCHAR(50) NOT NULL,
    code VARCHAR(20) NOT NULL,
    invoice_number VARCHAR(20) NOT NULL,
    ours BIGINT,
    theirs BIGINT,
    state VARCHAR(10) NOT NULL,
    found_at DATETIME NOT NULL,
    decision VARCHAR(200),
    decided_by BIGINT,
    decided_by_name VARCHAR(60),
    decided_at DATETIME,
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
    state VARCHAR(10) NOT NULL,
    code VARCHAR(50) NOT NULL,
    paper_number VARCHAR(20) NOT NULL,
    reason VARCHAR(100),
    made_by BIGINT NOT NULL,
    made_by_name VARCHAR(60) NOT NULL,
    made_at DATETIME NOT NULL,
    voided_by_name VARCHAR(60),
    voided_at DATETIME,
    id BIGINT NOT NULL,
    CONSTRAINT pk_invoice_paper PRIMARY KEY (id),
    CONSTRAINT uq_invoice_paper_invoice_id_open_marker UNIQUE (invoice_id, open_marker)
);

CREATE INDEX ix_invoice_paper_intent ON invoice_paper (intent_id);

CREATE INDEX ix_invoice_paper_void ON invoice_paper (void_intent_id);

CREATE TABLE key_block (
    name VARCHAR(30) NOT NULL,
    next BIGINT NOT NULL,
    CONSTRAINT pk_key_block PRIMARY KEY (name)
);

CREATE TABLE machine_order (
    prescription_id BIGINT NOT NULL,
    settlement_id BIGINT NOT NULL,
    store_id BIGINT NOT NULL,
    number VARCHAR(32) NOT NULL,
    window INTEGER NOT NULL,
    machine_window VARCHAR(10) NOT NULL,
    state VARCHAR(10) NOT NULL,
    note VARCHAR(200) NOT NULL,
    alarm BOOLEAN NOT NULL,
    payload_sealed BLOB NOT NULL,
    made_at DATETIME NOT NULL,
    sent_at DATETIME,
    changed_at DATETIME NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_machine_order PRIMARY KEY (id),
    CONSTRAINT uq_machine_order_prescription_id UNIQUE (prescription_id)
);

CREATE INDEX ix_machine_order_alarm ON machine_order (alarm, changed_at);

CREATE INDEX ix_machine_order_number ON machine_order (number);

CREATE INDEX ix_machine_order_state ON machine_order (state, changed_at);

CREATE TABLE medication_check (
    task_id BIGINT NOT NULL,
    outcome VARCHAR(10) NOT NULL,
    checked_at DATETIME NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_medication_check PRIMARY KEY (id),
    CONSTRAINT uq_medication_check_task_id UNIQUE (task_id)
);

CREATE TABLE mobile_bill_push (
    push_id VARCHAR(40) NOT NULL,
    encounter_id BIGINT NOT NULL,
    person_id BIGINT NOT NULL,
    digest VARCHAR(64) NOT NULL,
    total BIGINT NOT NULL,
    pushed_at DATETIME NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_mobile_bill_push PRIMARY KEY (id),
    CONSTRAINT uq_mobile_bill_push_push_id UNIQUE (push_id)
);

CREATE INDEX ix_mobile_bill_push_visit ON mobile_bill_push (encounter_id, id);

CREATE TABLE mobile_order (
    number VARCHAR(40) NOT NULL,
    pay_ord_id VARCHAR(40),
    cashier_url VARCHAR(500),
    batch VARCHAR(40) NOT NULL,
    secret_sealed BLOB,
    total BIGINT NOT NULL,
    fund BIGINT,
    account BIGINT,
    own BIGINT,
    made_at DATETIME NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_mobile_order PRIMARY KEY (id),
    CONSTRAINT uq_mobile_order_number UNIQUE (number)
);

CREATE INDEX ix_mobile_order_peer ON mobile_order (pay_ord_id);

CREATE TABLE nhsa_case (
    number VARCHAR(40) NOT NULL,
    kind VARCHAR(10) NOT NULL,
    state VARCHAR(12) NOT NULL,
    tidied BOOLEAN NOT NULL,
    psn_no_sealed BLOB,
    insutype VARCHAR(6) NOT NULL,
    area VARCHAR(6) NOT NULL,
    ipt_otp_no VARCHAR(30) NOT NULL,
    med_type VARCHAR(6) NOT NULL,
    mdtrt_id VARCHAR(30) NOT NULL,
    setl_id VARCHAR(30) NOT NULL,
    reversal_id VARCHAR(30) NOT NULL,
    total BIGINT NOT NULL,
    answer TEXT NOT NULL,
    clr_type VARCHAR(6) NOT NULL,
    clr_optins VARCHAR(6) NOT NULL,
    settled_at DATETIME,
    reversed_at DATETIME,
    created_at DATETIME NOT NULL,
    changed_at DATETIME NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_nhsa_case PRIMARY KEY (id),
    CONSTRAINT uq_nhsa_case_number UNIQUE (number)
);

CREATE INDEX ix_nhsa_case_settled ON nhsa_case (settled_at, id);

CREATE INDEX ix_nhsa_case_state ON nhsa_case (state, tidied, changed_at);

CREATE INDEX ix_nhsa_case_visit ON nhsa_case (mdtrt_id);

CREATE TABLE nhsa_fee_line (
    mdtrt_id VARCHAR(30) NOT NULL,
    feedetl_sn VARCHAR(15) NOT NULL,
    line_id BIGINT NOT NULL,
    state VARCHAR(8) NOT NULL,
    msgid VARCHAR(30) NOT NULL,
    back BOOLEAN NOT NULL,
    body_sealed BLOB,
    quantity_text VARCHAR(24) NOT NULL,
    amount BIGINT NOT NULL,
    message VARCHAR(200) NOT NULL,
    changed_at DATETIME NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_nhsa_fee_line PRIMARY KEY (id),
    CONSTRAINT uq_nhsa_fee_line_mdtrt_id_feedetl_sn UNIQUE (mdtrt_id, feedetl_sn)
);

CREATE INDEX ix_nhsa_fee_line_state ON nhsa_fee_line (state, mdtrt_id, id);

CREATE TABLE nhsa_member (
    psn_no_sealed BLOB,
    psn_no_index VARCHAR(64),
    psn_name_sealed BLOB,
    certno_sealed BLOB,
    psn_cert_type VARCHAR(6) NOT NULL,
    psn_type VARCHAR(6) NOT NULL,
    told_at DATETIME NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_nhsa_member PRIMARY KEY (id)
);

CREATE INDEX ix_nhsa_member_psn ON nhsa_member (psn_no_index);

CREATE TABLE nhsa_message (
    msgid VARCHAR(30) NOT NULL,
    infno VARCHAR(6) NOT NULL,
    number VARCHAR(40) NOT NULL,
    case_id BIGINT,
    state VARCHAR(8) NOT NULL,
    cause VARCHAR(30) NOT NULL,
    message VARCHAR(200) NOT NULL,
    peer_message VARCHAR(30) NOT NULL,
    sent_at DATETIME NOT NULL,
    answered_at DATETIME,
    id BIGINT NOT NULL,
    CONSTRAINT pk_nhsa_message PRIMARY KEY (id),
    CONSTRAINT uq_nhsa_message_msgid UNIQUE (msgid)
);

CREATE INDEX ix_nhsa_message_case ON nhsa_message (case_id, infno, id);

CREATE INDEX ix_nhsa_message_number ON nhsa_message (number, id);

CREATE INDEX ix_nhsa_message_sent ON nhsa_message (sent_at, id);

CREATE TABLE nhsa_sign (
    opter VARCHAR(30) NOT NULL,
    day DATE NOT NULL,
    sign_no VARCHAR(30) NOT NULL,
    signed_at DATETIME NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_nhsa_sign PRIMARY KEY (id),
    CONSTRAINT uq_nhsa_sign_opter_day UNIQUE (opter, day)
);

CREATE TABLE no_code_entry (
    drug_id BIGINT NOT NULL,
    batch_id BIGINT,
    reason VARCHAR(200) NOT NULL,
    made_at DATETIME NOT NULL,
    made_by_name VARCHAR(60) NOT NULL,
    ended_at DATETIME,
    ended_by_name VARCHAR(60),
    id BIGINT NOT NULL,
    CONSTRAINT pk_no_code_entry PRIMARY KEY (id)
);

CREATE INDEX ix_no_code_entry_drug ON no_code_entry (drug_id, ended_at);

CREATE TABLE number_counter (
    series VARCHAR(40) NOT NULL,
    scope VARCHAR(40) NOT NULL,
    next BIGINT NOT NULL,
    CONSTRAINT pk_number_counter PRIMARY KEY (series, scope)
);

CREATE TABLE number_range (
    series VARCHAR(40) NOT NULL,
    holder_id BIGINT NOT NULL,
    prefix VARCHAR(12) NOT NULL,
    width INTEGER NOT NULL,
    first BIGINT NOT NULL,
    last BIGINT NOT NULL,
    next BIGINT NOT NULL,
    state VARCHAR(10) NOT NULL,
    granted_at DATETIME NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT ck_number_range_order CHECK (first <= next AND next <= last + 1),
    CONSTRAINT pk_number_range PRIMARY KEY (id),
    CONSTRAINT uq_number_range_series_first UNIQUE (series, first)
);

CREATE INDEX ix_number_range_holder ON number_range (series, holder_id, state);

CREATE TABLE number_void (
    series VARCHAR(40) NOT NULL,
    number VARCHAR(32) NOT NULL,
    range_id BIGINT NOT NULL,
    reason VARCHAR(200) NOT NULL,
    voided_by BIGINT NOT NULL,
    voided_at DATETIME NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_number_void PRIMARY KEY (id),
    CONSTRAINT uq_number_void_series_number UNIQUE (series, number)
);

CREATE INDEX ix_number_void_range_id ON number_void (range_id);

CREATE TABLE old_deposit (
    source VARCHAR(20) NOT NULL,
    source_number VARCHAR(40) NOT NULL,
    person_id BIGINT NOT NULL,
    balance BIGINT NOT NULL,
    state VARCHAR(10) NOT NULL,
    imported_at DATETIME NOT NULL,
    imported_by_name VARCHAR(60) NOT NULL,
    cleared_at DATETIME,
    cleared_by BIGINT,
    cleared_by_name VARCHAR(60),
    method VARCHAR(20),
    receiver VARCHAR(100),
    id BIGINT NOT NULL,
    CONSTRAINT pk_old_deposit PRIMARY KEY (id),
    CONSTRAINT uq_old_deposit_source_source_number UNIQUE (source, source_number)
);

CREATE INDEX ix_old_deposit_person ON old_deposit (person_id);

CREATE INDEX ix_old_deposit_state ON old_deposit (state, id);

CREATE TABLE open_partner (
    code VARCHAR(40) NOT NULL,
    name VARCHAR(60) NOT NULL,
    owner VARCHAR(60) NOT NULL,
    contact VARCHAR(100) NOT NULL,
    addresses VARCHAR(400) NOT NULL,
    per_minute INTEGER NOT NULL,
    active BOOLEAN NOT NULL,
    revision INTEGER DEFAULT '1' NOT NULL,
    created_at DATETIME NOT NULL,
    created_by_name VARCHAR(60) NOT NULL,
    row_mac VARCHAR(64),
    id BIGINT NOT NULL,
    CONSTRAINT pk_open_partner PRIMARY KEY (id),
    CONSTRAINT uq_open_partner_code UNIQUE (code)
);

CREATE TABLE open_use (
    partner_id BIGINT NOT NULL,
    use_case VARCHAR(40) NOT NULL,
    used_on DATE NOT NULL,
    calls INTEGER NOT NULL,
    refused INTEGER NOT NULL,
    last_at DATETIME NOT NULL,
    CONSTRAINT pk_open_use PRIMARY KEY (partner_id, use_case, used_on)
);

CREATE TABLE order_template (
    name VARCHAR(60) NOT NULL,
    scope VARCHAR(12) NOT NULL,
    staff_id BIGINT NOT NULL,
    staff_name VARCHAR(60) NOT NULL,
    department_id BIGINT,
    made_at DATETIME NOT NULL,
    active BOOLEAN NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_order_template PRIMARY KEY (id)
);

CREATE INDEX ix_order_template_department ON order_template (department_id);

CREATE INDEX ix_order_template_owner ON order_template (staff_id);

CREATE TABLE outbox_delivery (
    event_id BIGINT NOT NULL,
    destination VARCHAR(60) NOT NULL,
    business_key VARCHAR(60) NOT NULL,
    occurred_at DATETIME NOT NULL,
    state VARCHAR(10) NOT NULL,
    attempts INTEGER NOT NULL,
    next_at DATETIME NOT NULL,
    lease_until DATETIME,
    lease_by VARCHAR(60),
    last_error VARCHAR(500),
    finished_at DATETIME,
    decided_by BIGINT,
    decision VARCHAR(200),
    id BIGINT NOT NULL,
    CONSTRAINT pk_outbox_delivery PRIMARY KEY (id),
    CONSTRAINT uq_outbox_delivery_event_id_destination UNIQUE (event_id, destination)
);

CREATE INDEX ix_outbox_delivery_due ON outbox_delivery (state, next_at);

CREATE INDEX ix_outbox_delivery_order ON outbox_delivery (destination, business_key, occurred_at);

CREATE TABLE outbox_event (
    type VARCHAR(60) NOT NULL,
    business_key VARCHAR(60) NOT NULL,
    payload TEXT NOT NULL,
    occurred_at DATETIME NOT NULL,
    actor_id BIGINT NOT NULL,
    trace_id VARCHAR(40) NOT NULL,
    fanned_out BOOLEAN NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_outbox_event PRIMARY KEY (id)
);

CREATE INDEX ix_outbox_event_key ON outbox_event (business_key);

CREATE INDEX ix_outbox_event_pending ON outbox_event (fanned_out, occurred_at);

CREATE TABLE paper_destruction (
    number VARCHAR(32) NOT NULL,
    kind VARCHAR(10) NOT NULL,
    from_day DATE NOT NULL,
    until_day DATE NOT NULL,
    prescriptions INTEGER NOT NULL,
    approved_by VARCHAR(60) NOT NULL,
    witness VARCHAR(60) NOT NULL,
    done_at DATETIME NOT NULL,
    done_by BIGINT NOT NULL,
    done_by_name VARCHAR(60) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_paper_destruction PRIMARY KEY (id),
    CONSTRAINT uq_paper_destruction_number UNIQUE (number)
);

CREATE INDEX ix_paper_destruction_kind ON paper_destruction (kind, until_day);

CREATE TABLE payment (
    settlement_id BIGINT NOT NULL,
    method VARCHAR(20) NOT NULL,
    amount BIGINT NOT NULL,
    intent_id BIGINT,
    returns_payment_id BIGINT,
    tendered BIGINT,
    paid_at DATETIME NOT NULL,
    row_mac VARCHAR(64),
    id BIGINT NOT NULL,
    CONSTRAINT pk_payment PRIMARY KEY (id)
);

CREATE INDEX ix_payment_intent ON payment (intent_id);

CREATE INDEX ix_payment_returns ON payment (returns_payment_id);

CREATE INDEX ix_payment_settlement ON payment (settlement_id);

CREATE TABLE payment_state (
    payment_id BIGINT NOT NULL,
    covered BIGINT NOT NULL,
    returned BIGINT NOT NULL,
    CONSTRAINT ck_payment_state_bounds CHECK (returned >= 0 AND returned <= covered),
    CONSTRAINT pk_payment_state PRIMARY KEY (payment_id)
);

CREATE TABLE person (
    name VARCHAR(100) NOT NULL,
    sex VARCHAR(1) NOT NULL,
    birth_date DATE,
    birth_date_known BOOLEAN NOT NULL,
    id_type VARCHAR(2),
    id_no_sealed BLOB,
    phone_sealed BLOB,
    insurance_no_sealed BLOB,
    nationality VARCHAR(3),
    ethnic VARCHAR(2),
    marriage VARCHAR(2),
    occupation VARCHAR(4),
    allergies_sealed BLOB,
    outpatient_no VARCHAR(20) NOT NULL,
    home_region VARCHAR(12),
    home_region_was VARCHAR(12),
    home_detail_sealed BLOB,
    home_postcode VARCHAR(6),
    household_region VARCHAR(12),
    household_region_was VARCHAR(12),
    household_detail_sealed BLOB,
    birth_region VARCHAR(12),
    birth_detail_sealed BLOB,
    native_region VARCHAR(12),
    work_unit VARCHAR(100),
    work_region VARCHAR(12),
    work_region_was VARCHAR(12),
    work_detail_sealed BLOB,
    work_phone_sealed BLOB,
    contact_name VARCHAR(100),
    contact_relation VARCHAR(2),
    contact_phone_sealed BLOB,
    mother_id BIGINT,
    unknown BOOLEAN NOT NULL,
    merged_into_id BIGINT,
    channel VARCHAR(20) NOT NULL,
    created_at DATETIME NOT NULL,
    created_by BIGINT NOT NULL,
    revision INTEGER NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT fk_person_merged_into_id FOREIGN KEY(merged_into_id) REFERENCES person (id),
    CONSTRAINT fk_person_mother_id FOREIGN KEY(mother_id) REFERENCES person (id),
    CONSTRAINT pk_person PRIMARY KEY (id),
    CONSTRAINT uq_person_outpatient_no UNIQUE (outpatient_no)
);

CREATE INDEX ix_person_birth ON person (birth_date, sex);

CREATE INDEX ix_person_home_region ON person (home_region);

CREATE INDEX ix_person_household_region ON person (household_region);

CREATE INDEX ix_person_merged_into_id ON person (merged_into_id);

CREATE INDEX ix_person_work_region ON person (work_region);

CREATE TABLE person_emergency_access (
    person_id BIGINT NOT NULL,
    user_id BIGINT NOT NULL,
    user_name VARCHAR(60) NOT NULL,
    reason_sealed BLOB NOT NULL,
    opened_at DATETIME NOT NULL,
    until DATETIME NOT NULL,
    row_mac VARCHAR(64),
    id BIGINT NOT NULL,
    CONSTRAINT pk_person_emergency_access PRIMARY KEY (id)
);

CREATE INDEX ix_person_emergency_access_opened ON person_emergency_access (opened_at, id);

CREATE INDEX ix_person_emergency_access_user ON person_emergency_access (user_id, person_id, until);

CREATE TABLE person_protection (
    person_id BIGINT NOT NULL,
    level INTEGER NOT NULL,
    kinds_sealed BLOB,
    locked BOOLEAN NOT NULL,
    reason_sealed BLOB NOT NULL,
    decided_at DATETIME NOT NULL,
    decided_by BIGINT NOT NULL,
    decided_by_name VARCHAR(60) NOT NULL,
    in_force BIGINT NOT NULL,
    row_mac VARCHAR(64),
    id BIGINT NOT NULL,
    CONSTRAINT pk_person_protection PRIMARY KEY (id),
    CONSTRAINT uq_person_protection_person_id_in_force UNIQUE (person_id, in_force)
);

CREATE INDEX ix_person_protection_decided ON person_protection (decided_at);

CREATE TABLE pharmacy_rule (
    store_id BIGINT NOT NULL,
    review_first BOOLEAN NOT NULL,
    return_review BOOLEAN NOT NULL,
    night_start VARCHAR(5) NOT NULL,
    night_end VARCHAR(5) NOT NULL,
    night_amount BIGINT NOT NULL,
    opens VARCHAR(5) NOT NULL,
    closes VARCHAR(5) NOT NULL,
    changed_at DATETIME NOT NULL,
    changed_by_name VARCHAR(60) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT ck_pharmacy_rule_amount CHECK (night_amount >= 0),
    CONSTRAINT pk_pharmacy_rule PRIMARY KEY (id),
    CONSTRAINT uq_pharmacy_rule_store_id UNIQUE (store_id)
);

CREATE TABLE pickup_window (
    store_id BIGINT NOT NULL,
    number INTEGER NOT NULL,
    name VARCHAR(40) NOT NULL,
    state VARCHAR(10) NOT NULL,
    changed_at DATETIME NOT NULL,
    changed_by_name VARCHAR(60) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_pickup_window PRIMARY KEY (id),
    CONSTRAINT uq_pickup_window_store_id_number UNIQUE (store_id, number)
);

CREATE TABLE platform_call (
    our_key VARCHAR(40) NOT NULL,
    act VARCHAR(20) NOT NULL,
    order_id BIGINT NOT NULL,
    payload TEXT NOT NULL,
    state VARCHAR(10) NOT NULL,
    message VARCHAR(300) NOT NULL,
    made_at DATETIME NOT NULL,
    ended_at DATETIME,
    id BIGINT NOT NULL,
    CONSTRAINT pk_platform_call PRIMARY KEY (id),
    CONSTRAINT uq_platform_call_our_key UNIQUE (our_key)
);

CREATE INDEX ix_platform_call_order_id ON platform_call (order_id);

CREATE INDEX ix_platform_call_state ON platform_call (state, made_at);

CREATE TABLE platform_product (
    platform_id VARCHAR(60) NOT NULL,
    code VARCHAR(60) NOT NULL,
    name VARCHAR(120) NOT NULL,
    form VARCHAR(40) NOT NULL,
    spec VARCHAR(80) NOT NULL,
    pack VARCHAR(80) NOT NULL,
    unit VARCHAR(20) NOT NULL,
    factor BIGINT NOT NULL,
    manufacturer VARCHAR(120) NOT NULL,
    approval_no VARCHAR(60) NOT NULL,
    price BIGINT NOT NULL,
    active BOOLEAN NOT NULL,
    seen_at DATETIME NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_platform_product PRIMARY KEY (id),
    CONSTRAINT uq_platform_product_platform_id UNIQUE (platform_id)
);

CREATE INDEX ix_platform_product_name ON platform_product (name);

CREATE TABLE postal_area (
    place VARCHAR(60) NOT NULL,
    region_code VARCHAR(12) NOT NULL,
    postcode VARCHAR(6) NOT NULL,
    area_code VARCHAR(5) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_postal_area PRIMARY KEY (id),
    CONSTRAINT uq_postal_area_region_code_postcode UNIQUE (region_code, postcode)
);

CREATE INDEX ix_postal_area_postcode ON postal_area (postcode);

CREATE TABLE prescription (
    number VARCHAR(32) NOT NULL,
    kind VARCHAR(10) NOT NULL,
    person_id BIGINT NOT NULL,
    encounter_id BIGINT NOT NULL,
    department_id BIGINT NOT NULL,
    doctor_id BIGINT NOT NULL,
    doctor_name VARCHAR(60) NOT NULL,
    store_id BIGINT NOT NULL,
    diagnosis_sealed BLOB NOT NULL,
    state VARCHAR(10) NOT NULL,
    settlement_id BIGINT,
    issued_at DATETIME NOT NULL,
    business_date DATE NOT NULL,
    charged_at DATETIME,
    dispensed_at DATETIME,
    changed_at DATETIME NOT NULL,
    changed_by_name VARCHAR(60) NOT NULL,
    revision INTEGER NOT NULL,
    valid_until DATE NOT NULL,
    extended_by_name VARCHAR(60) NOT NULL,
    extension_reason VARCHAR(100) NOT NULL,
    diagnosis_code_sealed BLOB,
    chronic_reason_sealed BLOB,
    long_term BOOLEAN NOT NULL,
    assessment_sealed BLOB,
    signed_by VARCHAR(60) NOT NULL,
    at_night BOOLEAN NOT NULL,
    override_reason_sealed BLOB,
    consultant_name VARCHAR(60) NOT NULL,
    check_state VARCHAR(12) NOT NULL,
    check_text_sealed BLOB,
    check_reason_sealed BLOB,
    row_mac VARCHAR(64),
    id BIGINT NOT NULL,
    CONSTRAINT pk_prescription PRIMARY KEY (id),
    CONSTRAINT uq_prescription_number UNIQUE (number)
);

CREATE INDEX ix_prescription_encounter ON prescription (encounter_id);

CREATE INDEX ix_prescription_issued ON prescription (issued_at);

CREATE INDEX ix_prescription_person ON prescription (person_id, issued_at);

CREATE INDEX ix_prescription_queue ON prescription (store_id, state, charged_at);

CREATE TABLE prescription_drug_claim (
    prescription_id BIGINT NOT NULL,
    line_id BIGINT NOT NULL,
    holder VARCHAR(40) NOT NULL,
    told VARCHAR(60) NOT NULL,
    quantity BIGINT NOT NULL,
    state VARCHAR(10) NOT NULL,
    changed_at DATETIME NOT NULL,
    changed_by_name VARCHAR(60) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT ck_prescription_drug_claim_positive CHECK (quantity > 0),
    CONSTRAINT pk_prescription_drug_claim PRIMARY KEY (id),
    CONSTRAINT uq_prescription_drug_claim_line_id_holder UNIQUE (line_id, holder)
);

CREATE INDEX ix_prescription_drug_claim_holder ON prescription_drug_claim (holder);

CREATE INDEX ix_prescription_drug_claim_prescription ON prescription_drug_claim (prescription_id, state);

CREATE TABLE print_record (
    document VARCHAR(20) NOT NULL,
    document_id BIGINT NOT NULL,
    copy_no INTEGER NOT NULL,
    printed_at DATETIME NOT NULL,
    printed_by BIGINT NOT NULL,
    printed_by_name VARCHAR(60) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_print_record PRIMARY KEY (id),
    CONSTRAINT uq_print_record_document_document_id_copy_no UNIQUE (document, document_id, copy_no)
);

CREATE TABLE queue_call (
    registration_id BIGINT NOT NULL,
    flag VARCHAR(1) NOT NULL,
    room VARCHAR(20) NOT NULL,
    called_at DATETIME NOT NULL,
    changed_at DATETIME NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_queue_call PRIMARY KEY (id),
    CONSTRAINT uq_queue_call_registration_id UNIQUE (registration_id)
);

CREATE TABLE read_feed (
    resource VARCHAR(40) NOT NULL,
    version BIGINT NOT NULL,
    fresh_at DATETIME,
    CONSTRAINT pk_read_feed PRIMARY KEY (resource)
);

CREATE TABLE read_feed_row (
    resource VARCHAR(40) NOT NULL,
    row_key VARCHAR(40) NOT NULL,
    version BIGINT NOT NULL,
    gone BOOLEAN NOT NULL,
    content TEXT NOT NULL,
    CONSTRAINT pk_read_feed_row PRIMARY KEY (resource, row_key)
);

CREATE INDEX ix_read_feed_row_version ON read_feed_row (resource, version);

CREATE TABLE receipt (
    number VARCHAR(32) NOT NULL,
    settlement_id BIGINT NOT NULL,
    person_id BIGINT NOT NULL,
    colour VARCHAR(4) NOT NULL,
    title VARCHAR(60) NOT NULL,
    amount BIGINT NOT NULL,
    root_id BIGINT NOT NULL,
    reverses_receipt_id BIGINT,
    issued_at DATETIME NOT NULL,
    issued_by BIGINT NOT NULL,
    row_mac VARCHAR(64),
    id BIGINT NOT NULL,
    CONSTRAINT pk_receipt PRIMARY KEY (id),
    CONSTRAINT uq_receipt_number UNIQUE (number),
    CONSTRAINT uq_receipt_reverses_receipt_id UNIQUE (reverses_receipt_id)
);

CREATE INDEX ix_receipt_root ON receipt (root_id);

CREATE INDEX ix_receipt_settlement ON receipt (settlement_id);

CREATE TABLE refund_approval (
    settlement_id BIGINT NOT NULL,
    amount BIGINT NOT NULL,
    reason VARCHAR(200) NOT NULL,
    state VARCHAR(10) NOT NULL,
    requested_by BIGINT NOT NULL,
    requested_by_name VARCHAR(60) NOT NULL,
    requested_at DATETIME NOT NULL,
    decided_by BIGINT,
    decided_by_name VARCHAR(60),
    decided_at DATETIME,
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
    state VARCHAR(12) NOT NULL,
    due BIGINT,
    "plan" TEXT NOT NULL,
    refund_id BIGINT,
    message VARCHAR(200),
    opened_at DATETIME NOT NULL,
    opened_by BIGINT NOT NULL,
    opened_by_name VARCHAR(60) NOT NULL,
    changed_at DATETIME NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_refund_case PRIMARY KEY (id),
    CONSTRAINT uq_refund_case_settlement_id_open_marker UNIQUE (settlement_id, open_marker)
);

CREATE INDEX ix_refund_case_state ON refund_case (state, changed_at);

CREATE TABLE region (
    code VARCHAR(12) NOT NULL,
    name VARCHAR(60) NOT NULL,
    level INTEGER NOT NULL,
    parent_code VARCHAR(12) NOT NULL,
    valid_from DATE,
    valid_to DATE,
    successor VARCHAR(12) NOT NULL,
    present_code VARCHAR(12) NOT NULL,
    full_name VARCHAR(120) NOT NULL,
    former_names VARCHAR(120) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_region PRIMARY KEY (id),
    CONSTRAINT uq_region_code UNIQUE (code)
);

CREATE INDEX ix_region_parent_code ON region (parent_code);

CREATE INDEX ix_region_present_code ON region (present_code);

CREATE TABLE register_level (
    code VARCHAR(20) NOT NULL,
    item_id BIGINT NOT NULL,
    position INTEGER NOT NULL,
    active BOOLEAN NOT NULL,
    revision INTEGER DEFAULT '1' NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_register_level PRIMARY KEY (id),
    CONSTRAINT uq_register_level_code UNIQUE (code)
);

CREATE TABLE registration_count (
    registration_id BIGINT NOT NULL,
    kind VARCHAR(12) NOT NULL,
    number INTEGER NOT NULL,
    business_date DATE NOT NULL,
    counted_at DATETIME NOT NULL,
    department_id BIGINT NOT NULL,
    doctor_id BIGINT,
    level VARCHAR(20) NOT NULL,
    channel VARCHAR(20) NOT NULL,
    counted_by BIGINT NOT NULL,
    counted_by_name VARCHAR(60) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_registration_count PRIMARY KEY (id)
);

CREATE INDEX ix_registration_count_day ON registration_count (business_date, department_id);

CREATE INDEX ix_registration_count_registration ON registration_count (registration_id);

CREATE TABLE request (
    number VARCHAR(32) NOT NULL,
    person_id BIGINT NOT NULL,
    encounter_id BIGINT NOT NULL,
    department_id BIGINT NOT NULL,
    doctor_id BIGINT NOT NULL,
    doctor_name VARCHAR(60) NOT NULL,
    performing_department_id BIGINT NOT NULL,
    diagnosis_sealed BLOB NOT NULL,
    state VARCHAR(10) NOT NULL,
    settlement_id BIGINT,
    issued_at DATETIME NOT NULL,
    business_date DATE NOT NULL,
    changed_at DATETIME NOT NULL,
    changed_by_name VARCHAR(60) NOT NULL,
    row_mac VARCHAR(64),
    id BIGINT NOT NULL,
    CONSTRAINT pk_request PRIMARY KEY (id),
    CONSTRAINT uq_request_number UNIQUE (number)
);

CREATE INDEX ix_request_encounter ON request (encounter_id);

CREATE INDEX ix_request_issued ON request (issued_at);

CREATE INDEX ix_request_person ON request (person_id, issued_at);

CREATE INDEX ix_request_worklist ON request (performing_department_id, state, issued_at);

CREATE TABLE schedule_run (
    job VARCHAR(60) NOT NULL,
    period VARCHAR(30) NOT NULL,
    outcome VARCHAR(10) NOT NULL,
    started_at DATETIME,
    finished_at DATETIME,
    lease_until DATETIME,
    lease_by VARCHAR(60),
    error VARCHAR(500),
    CONSTRAINT pk_schedule_run PRIMARY KEY (job)
);

CREATE TABLE schedule_template (
    department_id BIGINT NOT NULL,
    doctor_id BIGINT,
    weekday INTEGER NOT NULL,
    period VARCHAR(4) NOT NULL,
    level VARCHAR(20) NOT NULL,
    capacity INTEGER NOT NULL,
    active BOOLEAN NOT NULL,
    revision INTEGER DEFAULT '1' NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_schedule_template PRIMARY KEY (id),
    CONSTRAINT uq_schedule_template_department_id_doctor_id_weekday_period_level UNIQUE (department_id, doctor_id, weekday, period, level)
);

CREATE TABLE schema_revision (
    revision VARCHAR(32) NOT NULL,
    phase VARCHAR(10) NOT NULL,
    release VARCHAR(32) NOT NULL,
    applied_at DATETIME NOT NULL,
    CONSTRAINT pk_schema_revision PRIMARY KEY (revision)
);

CREATE TABLE security_audit (
    id BIGINT NOT NULL,
    at DATETIME NOT NULL,
    zone VARCHAR(6) NOT NULL,
    user_id BIGINT NOT NULL,
    login VARCHAR(40) NOT NULL,
    name VARCHAR(60) NOT NULL,
    staff_id BIGINT,
    roles VARCHAR(200) NOT NULL,
    channel VARCHAR(20) NOT NULL,
    ip VARCHAR(45) NOT NULL,
    terminal VARCHAR(60) NOT NULL,
    event VARCHAR(60) NOT NULL,
    object_type VARCHAR(60) NOT NULL,
    object_id VARCHAR(80) NOT NULL,
    success BOOLEAN NOT NULL,
    trace_id VARCHAR(40) NOT NULL,
    detail TEXT NOT NULL,
    row_mac VARCHAR(64) NOT NULL,
    CONSTRAINT pk_security_audit PRIMARY KEY (id)
);

CREATE INDEX ix_security_audit_at ON security_audit (at);

CREATE INDEX ix_security_audit_event ON security_audit (event, at);

CREATE INDEX ix_security_audit_object ON security_audit (object_type, object_id);

CREATE INDEX ix_security_audit_user ON security_audit (user_id, at);

CREATE TABLE security_certificate (
    fingerprint VARCHAR(64) NOT NULL,
    public VARCHAR(128) NOT NULL,
    certificate TEXT NOT NULL,
    added_at DATETIME NOT NULL,
    added_by BIGINT NOT NULL,
    row_mac VARCHAR(64),
    id BIGINT NOT NULL,
    CONSTRAINT pk_security_certificate PRIMARY KEY (id),
    CONSTRAINT uq_security_certificate_fingerprint UNIQUE (fingerprint)
);

CREATE INDEX ix_security_certificate_public ON security_certificate (public);

CREATE TABLE security_installation (
    "key" VARCHAR(10) NOT NULL,
    name VARCHAR(32) NOT NULL,
    mac VARCHAR(64) NOT NULL,
    CONSTRAINT pk_security_installation PRIMARY KEY ("key")
);

CREATE TABLE security_partner_key (
    key_id VARCHAR(64) NOT NULL,
    name VARCHAR(60) NOT NULL,
    public VARCHAR(128) NOT NULL,
    uid VARCHAR(60) NOT NULL,
    permissions TEXT NOT NULL,
    not_before DATETIME NOT NULL,
    not_after DATETIME NOT NULL,
    state VARCHAR(10) NOT NULL,
    created_at DATETIME NOT NULL,
    created_by BIGINT NOT NULL,
    row_mac VARCHAR(64),
    id BIGINT NOT NULL,
    CONSTRAINT pk_security_partner_key PRIMARY KEY (id),
    CONSTRAINT uq_security_partner_key_key_id UNIQUE (key_id)
);

CREATE TABLE security_password_history (
    user_id BIGINT NOT NULL,
    password VARCHAR(200) NOT NULL,
    changed_at DATETIME NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_security_password_history PRIMARY KEY (id)
);

CREATE INDEX ix_security_password_history_user_id ON security_password_history (user_id);

CREATE TABLE security_role (
    code VARCHAR(40) NOT NULL,
    title VARCHAR(60) NOT NULL,
    standard BOOLEAN NOT NULL,
    active BOOLEAN NOT NULL,
    second_factor BOOLEAN NOT NULL,
    permissions TEXT NOT NULL,
    declared TEXT NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_security_role PRIMARY KEY (id),
    CONSTRAINT uq_security_role_code UNIQUE (code)
);

CREATE TABLE security_seal (
    chain VARCHAR(40) NOT NULL,
    seq BIGINT NOT NULL,
    row_id BIGINT NOT NULL,
    row_mac VARCHAR(64) NOT NULL,
    members VARCHAR(64),
    kid VARCHAR(16) NOT NULL,
    mac VARCHAR(64) NOT NULL,
    CONSTRAINT pk_security_seal PRIMARY KEY (chain, seq)
);

CREATE UNIQUE INDEX ix_security_seal_row ON security_seal (chain, row_id);

CREATE TABLE security_seal_checkpoint (
    chain VARCHAR(40) NOT NULL,
    number INTEGER NOT NULL,
    made_at DATETIME NOT NULL,
    text TEXT NOT NULL,
    CONSTRAINT pk_security_seal_checkpoint PRIMARY KEY (chain, number)
);

CREATE TABLE security_seal_start (
    chain VARCHAR(40) NOT NULL,
    seq BIGINT NOT NULL,
    mac VARCHAR(64) NOT NULL,
    row_mac VARCHAR(64) NOT NULL,
    CONSTRAINT pk_security_seal_start PRIMARY KEY (chain)
);

CREATE TABLE security_session (
    token VARCHAR(64) NOT NULL,
    user_id BIGINT NOT NULL,
    stage VARCHAR(20) NOT NULL,
    created_at DATETIME NOT NULL,
    last_seen_at DATETIME NOT NULL,
    expires_at DATETIME NOT NULL,
    factors VARCHAR(40) NOT NULL,
    ip VARCHAR(45) NOT NULL,
    terminal VARCHAR(60) NOT NULL,
    row_mac VARCHAR(64) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_security_session PRIMARY KEY (id),
    CONSTRAINT uq_security_session_token UNIQUE (token)
);

CREATE INDEX ix_security_session_expires ON security_session (expires_at);

CREATE INDEX ix_security_session_user ON security_session (user_id);

CREATE TABLE security_signature (
    kind VARCHAR(30) NOT NULL,
    document_id BIGINT NOT NULL,
    content_sealed BLOB NOT NULL,
    signed_at DATETIME NOT NULL,
    user_id BIGINT NOT NULL,
    user_name VARCHAR(60) NOT NULL,
    means VARCHAR(10) NOT NULL,
    key_id VARCHAR(64) NOT NULL,
    public VARCHAR(128) NOT NULL,
    signature VARCHAR(128) NOT NULL,
    row_mac VARCHAR(64),
    id BIGINT NOT NULL,
    CONSTRAINT pk_security_signature PRIMARY KEY (id)
);

CREATE INDEX ix_security_signature_document ON security_signature (kind, document_id);

CREATE INDEX ix_security_signature_signed ON security_signature (signed_at);

CREATE INDEX ix_security_signature_user ON security_signature (user_id, signed_at);

CREATE TABLE security_signed_nonce (
    key_id VARCHAR(64) NOT NULL,
    nonce VARCHAR(64) NOT NULL,
    expires_at DATETIME NOT NULL,
    CONSTRAINT pk_security_signed_nonce PRIMARY KEY (key_id, nonce)
);

CREATE INDEX ix_security_signed_nonce_expires ON security_signed_nonce (expires_at);

CREATE TABLE security_spent_nonce (
    nonce VARCHAR(64) NOT NULL,
    expires_at DATETIME NOT NULL,
    CONSTRAINT pk_security_spent_nonce PRIMARY KEY (nonce)
);

CREATE INDEX ix_security_spent_nonce_expires ON security_spent_nonce (expires_at);

CREATE TABLE security_syslog (
    target VARCHAR(200) NOT NULL,
    seq BIGINT NOT NULL,
    CONSTRAINT pk_security_syslog PRIMARY KEY (target)
);

CREATE TABLE security_user (
    login VARCHAR(40) NOT NULL,
    login_key VARCHAR(40) NOT NULL,
    name VARCHAR(60) NOT NULL,
    staff_id BIGINT,
    department_id BIGINT,
    state VARCHAR(10) NOT NULL,
    valid_until DATE,
    password VARCHAR(200) NOT NULL,
    password_changed_at DATETIME NOT NULL,
    must_change BOOLEAN NOT NULL,
    failures INTEGER NOT NULL,
    locked_until DATETIME,
    last_sign_in_at DATETIME,
    totp_sealed BLOB,
    totp_step BIGINT NOT NULL,
    certificate TEXT,
    created_at DATETIME NOT NULL,
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
    granted_at DATETIME NOT NULL,
    granted_by BIGINT NOT NULL,
    row_mac VARCHAR(64) NOT NULL,
    CONSTRAINT pk_security_user_role PRIMARY KEY (user_id, role_id, department_id)
);

CREATE INDEX ix_security_user_role_role ON security_user_role (role_id);

CREATE TABLE settlement (
    number VARCHAR(32) NOT NULL,
    kind VARCHAR(10) NOT NULL,
    person_id BIGINT NOT NULL,
    total BIGINT NOT NULL,
    channel VARCHAR(20) NOT NULL,
    cashier_id BIGINT NOT NULL,
    cashier_name VARCHAR(60) NOT NULL,
    shift_id BIGINT NOT NULL,
    settled_at DATETIME NOT NULL,
    business_date DATE NOT NULL,
    reverses_id BIGINT,
    reason VARCHAR(200),
    approver_id BIGINT,
    row_mac VARCHAR(64),
    id BIGINT NOT NULL,
    CONSTRAINT pk_settlement PRIMARY KEY (id),
    CONSTRAINT uq_settlement_number UNIQUE (number)
);

CREATE INDEX ix_settlement_day ON settlement (business_date, id);

CREATE INDEX ix_settlement_person ON settlement (person_id, settled_at);

CREATE INDEX ix_settlement_reverses ON settlement (reverses_id);

CREATE INDEX ix_settlement_settled ON settlement (settled_at);

CREATE INDEX ix_settlement_shift ON settlement (shift_id);

CREATE TABLE shift (
    number VARCHAR(32) NOT NULL,
    cashier_id BIGINT NOT NULL,
    cashier_name VARCHAR(60) NOT NULL,
    state VARCHAR(12) NOT NULL,
    open_marker INTEGER,
    settlements INTEGER NOT NULL,
    opened_at DATETIME NOT NULL,
    closed_at DATETIME,
    business_date DATE,
    statement TEXT,
    counted_cash BIGINT,
    cash_difference BIGINT,
    receiver_id BIGINT,
    receiver_name VARCHAR(60),
    received_at DATETIME,
    id BIGINT NOT NULL,
    CONSTRAINT pk_shift PRIMARY KEY (id),
    CONSTRAINT uq_shift_cashier_id_open_marker UNIQUE (cashier_id, open_marker),
    CONSTRAINT uq_shift_number UNIQUE (number)
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
    ingredient VARCHAR(60) NOT NULL,
    drug_name VARCHAR(120) NOT NULL,
    lot_no VARCHAR(60) NOT NULL,
    claim VARCHAR(60),
    state VARCHAR(10) NOT NULL,
    result VARCHAR(4) NOT NULL,
    note VARCHAR(100) NOT NULL,
    business_date DATE NOT NULL,
    started_at DATETIME NOT NULL,
    started_by BIGINT NOT NULL,
    started_by_name VARCHAR(60) NOT NULL,
    due_at DATETIME NOT NULL,
    read_at DATETIME,
    read_by BIGINT,
    read_by_name VARCHAR(60) NOT NULL,
    confirmed_at DATETIME,
    confirmed_by_name VARCHAR(60) NOT NULL,
    valid_until DATETIME,
    id BIGINT NOT NULL,
    CONSTRAINT pk_skin_test PRIMARY KEY (id),
    CONSTRAINT uq_skin_test_claim UNIQUE (claim)
);

CREATE INDEX ix_skin_test_day ON skin_test (business_date, state);

CREATE INDEX ix_skin_test_line ON skin_test (prescription_line_id);

CREATE INDEX ix_skin_test_list ON skin_test (state, due_at);

CREATE INDEX ix_skin_test_person ON skin_test (person_id, drug_id, state);

CREATE TABLE standin_stay (
    person_id BIGINT NOT NULL,
    number VARCHAR(20) NOT NULL,
    ward_id BIGINT NOT NULL,
    bed VARCHAR(10) NOT NULL,
    left_at DATETIME,
    id BIGINT NOT NULL,
    CONSTRAINT pk_standin_stay PRIMARY KEY (id),
    CONSTRAINT uq_standin_stay_number UNIQUE (number)
);

CREATE TABLE standin_ward_store (
    ward_id BIGINT NOT NULL,
    store_id BIGINT NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_standin_ward_store PRIMARY KEY (id),
    CONSTRAINT uq_standin_ward_store_ward_id UNIQUE (ward_id)
);

CREATE TABLE statement_difference (
    channel VARCHAR(20) NOT NULL,
    number VARCHAR(64) NOT NULL,
    kind VARCHAR(12) NOT NULL,
    act VARCHAR(6) NOT NULL,
    day DATE NOT NULL,
    ours BIGINT,
    theirs BIGINT,
    our_state VARCHAR(12) NOT NULL,
    intent_id BIGINT,
    state VARCHAR(10) NOT NULL,
    found_at DATETIME NOT NULL,
    changed_at DATETIME NOT NULL,
    decision VARCHAR(10) NOT NULL,
    reason VARCHAR(200) NOT NULL,
    settled_by_name VARCHAR(60) NOT NULL,
    settled_at DATETIME,
    id BIGINT NOT NULL,
    CONSTRAINT pk_statement_difference PRIMARY KEY (id),
    CONSTRAINT uq_statement_difference_channel_number_kind UNIQUE (channel, number, kind)
);

CREATE INDEX ix_statement_difference_day ON statement_difference (day, id);

CREATE INDEX ix_statement_difference_state ON statement_difference (state, day, id);

CREATE TABLE statistics_grant (
    first_day DATE NOT NULL,
    last_day DATE NOT NULL,
    department_id BIGINT,
    doctor_id BIGINT,
    drug_id BIGINT,
    reason VARCHAR(200) NOT NULL,
    state VARCHAR(10) NOT NULL,
    requested_by BIGINT NOT NULL,
    requested_by_name VARCHAR(60) NOT NULL,
    requested_at DATETIME NOT NULL,
    decided_by BIGINT,
    decided_by_name VARCHAR(60),
    decided_at DATETIME,
    valid_until DATETIME,
    id BIGINT NOT NULL,
    CONSTRAINT pk_statistics_grant PRIMARY KEY (id)
);

CREATE INDEX ix_statistics_grant_state ON statistics_grant (state, requested_at);

CREATE TABLE stock_balance (
    store_id BIGINT NOT NULL,
    batch_id BIGINT NOT NULL,
    drug_id BIGINT NOT NULL,
    expiry DATE NOT NULL,
    on_hand BIGINT NOT NULL,
    reserved BIGINT NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT ck_stock_balance_never_negative CHECK (reserved >= 0 AND on_hand >= reserved),
    CONSTRAINT pk_stock_balance PRIMARY KEY (id),
    CONSTRAINT uq_stock_balance_store_id_batch_id UNIQUE (store_id, batch_id)
);

CREATE INDEX ix_stock_balance_choice ON stock_balance (store_id, drug_id, expiry);

CREATE INDEX ix_stock_balance_expiry ON stock_balance (store_id, expiry);

CREATE TABLE stock_document (
    number VARCHAR(32) NOT NULL,
    kind VARCHAR(20) NOT NULL,
    purpose VARCHAR(30) NOT NULL,
    state VARCHAR(12) NOT NULL,
    store_id BIGINT NOT NULL,
    other_store_id BIGINT,
    origin_id BIGINT,
    reason VARCHAR(200) NOT NULL,
    strict BOOLEAN NOT NULL,
    line_count INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    made_at DATETIME NOT NULL,
    made_by BIGINT NOT NULL,
    made_by_name VARCHAR(60) NOT NULL,
    changed_at DATETIME NOT NULL,
    changed_by BIGINT NOT NULL,
    changed_by_name VARCHAR(60) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_stock_document PRIMARY KEY (id),
    CONSTRAINT uq_stock_document_number UNIQUE (number)
);

CREATE INDEX ix_stock_document_origin ON stock_document (origin_id);

CREATE INDEX ix_stock_document_other ON stock_document (other_store_id, kind, state);

CREATE INDEX ix_stock_document_store ON stock_document (store_id, kind, made_at);

CREATE TABLE stock_document_code (
    document_id BIGINT NOT NULL,
    line_id BIGINT NOT NULL,
    code VARCHAR(100) NOT NULL,
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
    lot_no VARCHAR(40) NOT NULL,
    expiry DATE,
    pack_cost BIGINT,
    pack_size INTEGER NOT NULL,
    quantity BIGINT NOT NULL,
    done BIGINT NOT NULL,
    supplier VARCHAR(100) NOT NULL,
    note VARCHAR(200) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_stock_document_line PRIMARY KEY (id),
    CONSTRAINT uq_stock_document_line_document_id_position UNIQUE (document_id, position)
);

CREATE TABLE stock_level (
    store_id BIGINT NOT NULL,
    drug_id BIGINT NOT NULL,
    least BIGINT NOT NULL,
    most BIGINT NOT NULL,
    changed_at DATETIME NOT NULL,
    changed_by_name VARCHAR(60) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT ck_stock_level_order CHECK (least >= 0 AND most >= least),
    CONSTRAINT pk_stock_level PRIMARY KEY (id),
    CONSTRAINT uq_stock_level_store_id_drug_id UNIQUE (store_id, drug_id)
);

CREATE TABLE stock_move (
    kind VARCHAR(20) NOT NULL,
    store_from BIGINT,
    store_to BIGINT,
    batch_id BIGINT NOT NULL,
    drug_id BIGINT NOT NULL,
    quantity BIGINT NOT NULL,
    document_kind VARCHAR(20) NOT NULL,
    document_id BIGINT NOT NULL,
    line_id BIGINT,
    moved_at DATETIME NOT NULL,
    business_date DATE NOT NULL,
    actor_id BIGINT NOT NULL,
    row_mac VARCHAR(64),
    id BIGINT NOT NULL,
    CONSTRAINT ck_stock_move_positive CHECK (quantity > 0),
    CONSTRAINT pk_stock_move PRIMARY KEY (id)
);

CREATE INDEX ix_stock_move_batch ON stock_move (batch_id);

CREATE INDEX ix_stock_move_day ON stock_move (business_date);

CREATE INDEX ix_stock_move_document ON stock_move (document_kind, document_id);

CREATE INDEX ix_stock_move_drug ON stock_move (drug_id, business_date);

CREATE INDEX ix_stock_move_moved ON stock_move (moved_at);

CREATE TABLE stock_reservation (
    document_kind VARCHAR(20) NOT NULL,
    document_id BIGINT NOT NULL,
    line_id BIGINT NOT NULL,
    store_id BIGINT NOT NULL,
    balance_id BIGINT NOT NULL,
    batch_id BIGINT NOT NULL,
    drug_id BIGINT NOT NULL,
    quantity BIGINT NOT NULL,
    state VARCHAR(10) NOT NULL,
    reserved_at DATETIME NOT NULL,
    ended_at DATETIME,
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
    quantity BIGINT NOT NULL,
    CONSTRAINT pk_stock_snapshot PRIMARY KEY (day, store_id, batch_id)
);

CREATE TABLE stocktake (
    number VARCHAR(32) NOT NULL,
    store_id BIGINT NOT NULL,
    state VARCHAR(12) NOT NULL,
    scope VARCHAR(100) NOT NULL,
    line_count INTEGER NOT NULL,
    made_at DATETIME NOT NULL,
    made_by BIGINT NOT NULL,
    made_by_name VARCHAR(60) NOT NULL,
    changed_at DATETIME NOT NULL,
    changed_by_name VARCHAR(60) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_stocktake PRIMARY KEY (id),
    CONSTRAINT uq_stocktake_number UNIQUE (number)
);

CREATE INDEX ix_stocktake_store ON stocktake (store_id, state, made_at);

CREATE TABLE stocktake_line (
    stocktake_id BIGINT NOT NULL,
    position INTEGER NOT NULL,
    balance_id BIGINT NOT NULL,
    batch_id BIGINT NOT NULL,
    drug_id BIGINT NOT NULL,
    book BIGINT NOT NULL,
    expected BIGINT,
    first_expected BIGINT,
    counted BIGINT,
    counted_at DATETIME,
    counted_by_name VARCHAR(60),
    merged_into INTEGER,
    CONSTRAINT pk_stocktake_line PRIMARY KEY (stocktake_id, position)
);

CREATE TABLE store (
    code VARCHAR(20) NOT NULL,
    name VARCHAR(60) NOT NULL,
    kind VARCHAR(20) NOT NULL,
    department_id BIGINT,
    active BOOLEAN NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_store PRIMARY KEY (id),
    CONSTRAINT uq_store_code UNIQUE (code)
);

CREATE TABLE supplier (
    code VARCHAR(20) NOT NULL,
    name VARCHAR(100) NOT NULL,
    contact VARCHAR(60) NOT NULL,
    phone VARCHAR(40) NOT NULL,
    active BOOLEAN NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_supplier PRIMARY KEY (id),
    CONSTRAINT uq_supplier_code UNIQUE (code)
);

CREATE TABLE synced_entry (
    interface VARCHAR(40) NOT NULL,
    dictionary VARCHAR(20) NOT NULL,
    code VARCHAR(60) NOT NULL,
    digest VARCHAR(64) NOT NULL,
    sent_at DATETIME NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_synced_entry PRIMARY KEY (id),
    CONSTRAINT uq_synced_entry_interface_dictionary_code UNIQUE (interface, dictionary, code)
);

CREATE TABLE trace_code (
    code VARCHAR(100) NOT NULL,
    drug_id BIGINT NOT NULL,
    batch_id BIGINT,
    store_id BIGINT,
    state VARCHAR(12) NOT NULL,
    quantity BIGINT NOT NULL,
    remaining BIGINT NOT NULL,
    changed_at DATETIME NOT NULL,
    changed_by_name VARCHAR(60) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT ck_trace_code_remaining CHECK (remaining >= 0 AND remaining <= quantity),
    CONSTRAINT pk_trace_code PRIMARY KEY (id),
    CONSTRAINT uq_trace_code_code UNIQUE (code)
);

CREATE INDEX ix_trace_code_batch ON trace_code (batch_id);

CREATE INDEX ix_trace_code_store ON trace_code (store_id, drug_id, state);

CREATE TABLE trace_move (
    code_id BIGINT NOT NULL,
    act VARCHAR(12) NOT NULL,
    quantity BIGINT NOT NULL,
    store_from BIGINT,
    store_to BIGINT,
    document_kind VARCHAR(20) NOT NULL,
    document_id BIGINT NOT NULL,
    line_id BIGINT,
    upload_id BIGINT,
    moved_at DATETIME NOT NULL,
    actor_id BIGINT NOT NULL,
    actor_name VARCHAR(60) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_trace_move PRIMARY KEY (id)
);

CREATE INDEX ix_trace_move_code ON trace_move (code_id, moved_at);

CREATE INDEX ix_trace_move_document ON trace_move (document_kind, document_id, line_id);

CREATE INDEX ix_trace_move_upload ON trace_move (upload_id);

CREATE TABLE trace_upload (
    serial VARCHAR(30) NOT NULL,
    act VARCHAR(12) NOT NULL,
    document_kind VARCHAR(20) NOT NULL,
    document_id BIGINT NOT NULL,
    line_id BIGINT,
    store_id BIGINT,
    drug_id BIGINT NOT NULL,
    quantity BIGINT NOT NULL,
    codes INTEGER NOT NULL,
    state VARCHAR(10) NOT NULL,
    attempts INTEGER NOT NULL,
    message VARCHAR(300) NOT NULL,
    peer_number VARCHAR(60) NOT NULL,
    business_date DATE NOT NULL,
    created_at DATETIME NOT NULL,
    sent_at DATETIME,
    id BIGINT NOT NULL,
    CONSTRAINT pk_trace_upload PRIMARY KEY (id),
    CONSTRAINT uq_trace_upload_serial UNIQUE (serial)
);

CREATE INDEX ix_trace_upload_day ON trace_upload (business_date, act, drug_id);

CREATE INDEX ix_trace_upload_state ON trace_upload (state, business_date);

CREATE TABLE user_preference (
    user_id BIGINT NOT NULL,
    name VARCHAR(60) NOT NULL,
    chosen VARCHAR(500) NOT NULL,
    changed_at DATETIME NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_user_preference PRIMARY KEY (id),
    CONSTRAINT uq_user_preference_user_id_name UNIQUE (user_id, name)
);

CREATE TABLE ward_return_acting (
    return_id BIGINT NOT NULL,
    number VARCHAR(32) NOT NULL,
    person_id BIGINT NOT NULL,
    store_id BIGINT NOT NULL,
    acting_store_id BIGINT NOT NULL,
    asked_ward VARCHAR(60) NOT NULL,
    present_ward VARCHAR(60) NOT NULL,
    acted_at DATETIME NOT NULL,
    business_date DATE NOT NULL,
    acted_by BIGINT NOT NULL,
    acted_by_name VARCHAR(60) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_ward_return_acting PRIMARY KEY (id),
    CONSTRAINT uq_ward_return_acting_return_id UNIQUE (return_id)
);

CREATE INDEX ix_ward_return_acting_day ON ward_return_acting (acting_store_id, business_date);

CREATE TABLE antimicrobial_override (
    prescription_id BIGINT NOT NULL,
    level VARCHAR(10) NOT NULL,
    reason_sealed BLOB NOT NULL,
    doctor_id BIGINT NOT NULL,
    doctor_name VARCHAR(60) NOT NULL,
    made_at DATETIME NOT NULL,
    due_at DATETIME NOT NULL,
    state VARCHAR(10) NOT NULL,
    done_at DATETIME,
    done_by_name VARCHAR(60) NOT NULL,
    note_sealed BLOB,
    id BIGINT NOT NULL,
    CONSTRAINT fk_antimicrobial_override_prescription_id FOREIGN KEY(prescription_id) REFERENCES prescription (id),
    CONSTRAINT pk_antimicrobial_override PRIMARY KEY (id),
    CONSTRAINT uq_antimicrobial_override_prescription_id UNIQUE (prescription_id)
);

CREATE INDEX ix_antimicrobial_override_due ON antimicrobial_override (state, due_at);

CREATE TABLE channel_statement_row (
    statement_id BIGINT NOT NULL,
    position INTEGER NOT NULL,
    kind VARCHAR(6) NOT NULL,
    number VARCHAR(64) NOT NULL,
    peer_number VARCHAR(64) NOT NULL,
    amount BIGINT NOT NULL,
    happened_at DATETIME NOT NULL,
    original VARCHAR(64) NOT NULL,
    fee BIGINT NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT fk_channel_statement_row_statement_id FOREIGN KEY(statement_id) REFERENCES channel_statement (id),
    CONSTRAINT pk_channel_statement_row PRIMARY KEY (id),
    CONSTRAINT uq_channel_statement_row_statement_id_position UNIQUE (statement_id, position)
);

CREATE INDEX ix_channel_statement_row_number ON channel_statement_row (number);

CREATE TABLE charge_item_price (
    item_id BIGINT NOT NULL,
    price BIGINT NOT NULL,
    valid_from DATE NOT NULL,
    valid_to DATE,
    changed_by BIGINT NOT NULL,
    changed_at DATETIME,
    reason VARCHAR(200) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT ck_charge_item_price_order CHECK (valid_to IS NULL OR valid_to > valid_from),
    CONSTRAINT ck_charge_item_price_price CHECK (price >= 0),
    CONSTRAINT fk_charge_item_price_item_id FOREIGN KEY(item_id) REFERENCES charge_item (id),
    CONSTRAINT pk_charge_item_price PRIMARY KEY (id),
    CONSTRAINT uq_charge_item_price_item_id_valid_from UNIQUE (item_id, valid_from)
);

CREATE TABLE charge_item_search (
    owner_id INTEGER NOT NULL,
    kind VARCHAR(8) NOT NULL,
    search_key VARCHAR(64) NOT NULL,
    part SMALLINT NOT NULL,
    CONSTRAINT fk_charge_item_search_owner_id FOREIGN KEY(owner_id) REFERENCES charge_item (id) ON DELETE CASCADE,
    CONSTRAINT pk_charge_item_search PRIMARY KEY (owner_id, kind, search_key)
);

CREATE INDEX ix_charge_item_search_key ON charge_item_search (part, search_key, owner_id, kind);

CREATE TABLE clinic_session (
    day DATE NOT NULL,
    template_id BIGINT,
    department_id BIGINT NOT NULL,
    doctor_id BIGINT,
    period VARCHAR(4) NOT NULL,
    level VARCHAR(20) NOT NULL,
    capacity INTEGER NOT NULL,
    extra INTEGER NOT NULL,
    taken INTEGER NOT NULL,
    issued INTEGER NOT NULL,
    state VARCHAR(10) NOT NULL,
    reason VARCHAR(200),
    changed_at DATETIME,
    changed_by_name VARCHAR(60),
    id BIGINT NOT NULL,
    CONSTRAINT ck_clinic_session_capacity CHECK (taken >= 0 AND taken <= capacity + extra),
    CONSTRAINT fk_clinic_session_template_id FOREIGN KEY(template_id) REFERENCES schedule_template (id),
    CONSTRAINT pk_clinic_session PRIMARY KEY (id),
    CONSTRAINT uq_clinic_session_day_template_id UNIQUE (day, template_id)
);

CREATE INDEX ix_clinic_session_choice ON clinic_session (day, department_id, level);

CREATE TABLE department_search (
    owner_id INTEGER NOT NULL,
    kind VARCHAR(8) NOT NULL,
    search_key VARCHAR(64) NOT NULL,
    part SMALLINT NOT NULL,
    CONSTRAINT fk_department_search_owner_id FOREIGN KEY(owner_id) REFERENCES department (id) ON DELETE CASCADE,
    CONSTRAINT pk_department_search PRIMARY KEY (owner_id, kind, search_key)
);

CREATE INDEX ix_department_search_key ON department_search (part, search_key, owner_id, kind);

CREATE TABLE diagnosis_search (
    owner_id INTEGER NOT NULL,
    kind VARCHAR(8) NOT NULL,
    search_key VARCHAR(64) NOT NULL,
    part SMALLINT NOT NULL,
    CONSTRAINT fk_diagnosis_search_owner_id FOREIGN KEY(owner_id) REFERENCES diagnosis (id) ON DELETE CASCADE,
    CONSTRAINT pk_diagnosis_search PRIMARY KEY (owner_id, kind, search_key)
);

CREATE INDEX ix_diagnosis_search_key ON diagnosis_search (part, search_key, owner_id, kind);

CREATE TABLE drug_check_finding (
    check_id BIGINT NOT NULL,
    level VARCHAR(10) NOT NULL,
    kind VARCHAR(20) NOT NULL,
    field VARCHAR(60) NOT NULL,
    message_sealed BLOB NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT fk_drug_check_finding_check_id FOREIGN KEY(check_id) REFERENCES drug_check (id),
    CONSTRAINT pk_drug_check_finding PRIMARY KEY (id)
);

CREATE INDEX ix_drug_check_finding_check_id ON drug_check_finding (check_id);

CREATE TABLE drug_match (
    drug_id BIGINT NOT NULL,
    product_id BIGINT NOT NULL,
    ratio BIGINT NOT NULL,
    preferred BOOLEAN NOT NULL,
    matched_at DATETIME NOT NULL,
    matched_by_name VARCHAR(60) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT fk_drug_match_product_id FOREIGN KEY(product_id) REFERENCES platform_product (id),
    CONSTRAINT pk_drug_match PRIMARY KEY (id),
    CONSTRAINT uq_drug_match_drug_id_product_id UNIQUE (drug_id, product_id)
);

CREATE INDEX ix_drug_match_product ON drug_match (product_id);

CREATE TABLE drug_price (
    drug_id BIGINT NOT NULL,
    pack_price BIGINT NOT NULL,
    valid_from DATE NOT NULL,
    valid_to DATE,
    changed_by BIGINT NOT NULL,
    changed_at DATETIME,
    reason VARCHAR(200) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT ck_drug_price_order CHECK (valid_to IS NULL OR valid_to > valid_from),
    CONSTRAINT ck_drug_price_price CHECK (pack_price >= 0),
    CONSTRAINT fk_drug_price_drug_id FOREIGN KEY(drug_id) REFERENCES drug (id),
    CONSTRAINT pk_drug_price PRIMARY KEY (id),
    CONSTRAINT uq_drug_price_drug_id_valid_from UNIQUE (drug_id, valid_from)
);

CREATE TABLE drug_price_limit (
    drug_id BIGINT NOT NULL,
    pack_price BIGINT NOT NULL,
    valid_from DATE NOT NULL,
    valid_to DATE,
    reason VARCHAR(200) NOT NULL,
    changed_by BIGINT NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT ck_drug_price_limit_order CHECK (valid_to IS NULL OR valid_to > valid_from),
    CONSTRAINT fk_drug_price_limit_drug_id FOREIGN KEY(drug_id) REFERENCES drug (id),
    CONSTRAINT pk_drug_price_limit PRIMARY KEY (id),
    CONSTRAINT uq_drug_price_limit_drug_id_valid_from UNIQUE (drug_id, valid_from)
);

CREATE TABLE drug_return_line (
    return_id BIGINT NOT NULL,
    prescription_line_id BIGINT NOT NULL,
    charge_line_id BIGINT NOT NULL,
    drug_id BIGINT NOT NULL,
    quantity BIGINT NOT NULL,
    refunded BIGINT NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT ck_drug_return_line_bounds CHECK (refunded >= 0 AND refunded <= quantity),
    CONSTRAINT fk_drug_return_line_return_id FOREIGN KEY(return_id) REFERENCES drug_return (id),
    CONSTRAINT pk_drug_return_line PRIMARY KEY (id)
);

CREATE INDEX ix_drug_return_line_charge_line_id ON drug_return_line (charge_line_id);

CREATE INDEX ix_drug_return_line_return_id ON drug_return_line (return_id);

CREATE TABLE drug_revaluation (
    change_id BIGINT NOT NULL,
    store_id BIGINT NOT NULL,
    quantity BIGINT NOT NULL,
    "before" BIGINT NOT NULL,
    "after" BIGINT NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT fk_drug_revaluation_change_id FOREIGN KEY(change_id) REFERENCES drug_price_change (id),
    CONSTRAINT pk_drug_revaluation PRIMARY KEY (id),
    CONSTRAINT uq_drug_revaluation_change_id_store_id UNIQUE (change_id, store_id)
);

CREATE TABLE drug_search (
    owner_id INTEGER NOT NULL,
    kind VARCHAR(8) NOT NULL,
    search_key VARCHAR(64) NOT NULL,
    part SMALLINT NOT NULL,
    CONSTRAINT fk_drug_search_owner_id FOREIGN KEY(owner_id) REFERENCES drug (id) ON DELETE CASCADE,
    CONSTRAINT pk_drug_search PRIMARY KEY (owner_id, kind, search_key)
);

CREATE INDEX ix_drug_search_key ON drug_search (part, search_key, owner_id, kind);

CREATE TABLE infusion_bottle (
    infusion_id BIGINT NOT NULL,
    prescription_id BIGINT NOT NULL,
    group_key BIGINT NOT NULL,
    turn INTEGER NOT NULL,
    position INTEGER NOT NULL,
    label_no VARCHAR(20) NOT NULL,
    usage VARCHAR(20) NOT NULL,
    frequency VARCHAR(20) NOT NULL,
    state VARCHAR(10) NOT NULL,
    speed INTEGER,
    prints INTEGER NOT NULL,
    prepared_at DATETIME,
    prepared_by_name VARCHAR(60) NOT NULL,
    started_at DATETIME,
    started_by_name VARCHAR(60) NOT NULL,
    ended_at DATETIME,
    ended_by_name VARCHAR(60) NOT NULL,
    reason VARCHAR(100) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT fk_infusion_bottle_infusion_id FOREIGN KEY(infusion_id) REFERENCES infusion (id),
    CONSTRAINT pk_infusion_bottle PRIMARY KEY (id),
    CONSTRAINT uq_infusion_bottle_label_no UNIQUE (label_no),
    CONSTRAINT uq_infusion_bottle_prescription_id_group_key_turn UNIQUE (prescription_id, group_key, turn)
);

CREATE INDEX ix_infusion_bottle_infusion ON infusion_bottle (infusion_id, position);

CREATE TABLE infusion_round (
    infusion_id BIGINT NOT NULL,
    bottle_id BIGINT NOT NULL,
    condition VARCHAR(10) NOT NULL,
    speed INTEGER,
    note_sealed BLOB,
    looked_at DATETIME NOT NULL,
    looked_by_name VARCHAR(60) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT fk_infusion_round_infusion_id FOREIGN KEY(infusion_id) REFERENCES infusion (id),
    CONSTRAINT pk_infusion_round PRIMARY KEY (id)
);

CREATE INDEX ix_infusion_round_infusion ON infusion_round (infusion_id, looked_at);

CREATE TABLE item_set (
    code VARCHAR(40) NOT NULL,
    name VARCHAR(80) NOT NULL,
    department_id BIGINT,
    version INTEGER NOT NULL,
    valid_from DATETIME NOT NULL,
    valid_to DATETIME,
    changed_by BIGINT NOT NULL,
    changed_by_name VARCHAR(60) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT fk_item_set_department_id FOREIGN KEY(department_id) REFERENCES department (id),
    CONSTRAINT pk_item_set PRIMARY KEY (id),
    CONSTRAINT uq_item_set_code_version UNIQUE (code, version)
);

CREATE TABLE medication_alert (
    check_id BIGINT NOT NULL,
    kind VARCHAR(12) NOT NULL,
    text VARCHAR(300) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT fk_medication_alert_check_id FOREIGN KEY(check_id) REFERENCES medication_check (id),
    CONSTRAINT pk_medication_alert PRIMARY KEY (id)
);

CREATE INDEX ix_medication_alert_check_id ON medication_alert (check_id);

CREATE TABLE open_grant (
    partner_id BIGINT NOT NULL,
    use_case VARCHAR(40) NOT NULL,
    allowed VARCHAR(2000) NOT NULL,
    granted_at DATETIME NOT NULL,
    granted_by_name VARCHAR(60) NOT NULL,
    row_mac VARCHAR(64),
    id BIGINT NOT NULL,
    CONSTRAINT fk_open_grant_partner_id FOREIGN KEY(partner_id) REFERENCES open_partner (id),
    CONSTRAINT pk_open_grant PRIMARY KEY (id),
    CONSTRAINT uq_open_grant_partner_id_use_case UNIQUE (partner_id, use_case)
);

CREATE TABLE order_template_line (
    template_id BIGINT NOT NULL,
    position INTEGER NOT NULL,
    drug_id BIGINT NOT NULL,
    dose BIGINT NOT NULL,
    usage VARCHAR(20) NOT NULL,
    frequency VARCHAR(20) NOT NULL,
    days INTEGER NOT NULL,
    group_no INTEGER NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT fk_order_template_line_template_id FOREIGN KEY(template_id) REFERENCES order_template (id),
    CONSTRAINT pk_order_template_line PRIMARY KEY (id)
);

CREATE INDEX ix_order_template_line_template_id ON order_template_line (template_id);

CREATE TABLE person_identifier (
    person_id BIGINT NOT NULL,
    kind VARCHAR(20) NOT NULL,
    id_type VARCHAR(2) NOT NULL,
    number_sealed BLOB NOT NULL,
    number_index VARCHAR(64) NOT NULL,
    claim VARCHAR(90),
    active BOOLEAN NOT NULL,
    added_at DATETIME NOT NULL,
    added_by BIGINT NOT NULL,
    ended_at DATETIME,
    id BIGINT NOT NULL,
    CONSTRAINT fk_person_identifier_person_id FOREIGN KEY(person_id) REFERENCES person (id),
    CONSTRAINT pk_person_identifier PRIMARY KEY (id),
    CONSTRAINT uq_person_identifier_claim UNIQUE (claim)
);

CREATE INDEX ix_person_identifier_number ON person_identifier (number_index, kind, person_id);

CREATE INDEX ix_person_identifier_person_id ON person_identifier (person_id);

CREATE TABLE person_merge (
    survivor_id BIGINT NOT NULL,
    merged_id BIGINT NOT NULL,
    moved VARCHAR(2000) NOT NULL,
    reason VARCHAR(200) NOT NULL,
    merged_at DATETIME NOT NULL,
    merged_by BIGINT NOT NULL,
    merged_by_name VARCHAR(60) NOT NULL,
    undone_at DATETIME,
    undone_by BIGINT,
    undone_by_name VARCHAR(60),
    undo_reason VARCHAR(200),
    id BIGINT NOT NULL,
    CONSTRAINT fk_person_merge_merged_id FOREIGN KEY(merged_id) REFERENCES person (id),
    CONSTRAINT fk_person_merge_survivor_id FOREIGN KEY(survivor_id) REFERENCES person (id),
    CONSTRAINT pk_person_merge PRIMARY KEY (id)
);

CREATE INDEX ix_person_merge_merged_id ON person_merge (merged_id);

CREATE INDEX ix_person_merge_survivor_id ON person_merge (survivor_id);

CREATE TABLE person_search (
    owner_id INTEGER NOT NULL,
    kind VARCHAR(8) NOT NULL,
    search_key VARCHAR(64) NOT NULL,
    part SMALLINT NOT NULL,
    CONSTRAINT fk_person_search_owner_id FOREIGN KEY(owner_id) REFERENCES person (id) ON DELETE CASCADE,
    CONSTRAINT pk_person_search PRIMARY KEY (owner_id, kind, search_key)
);

CREATE INDEX ix_person_search_key ON person_search (part, search_key, owner_id, kind);

CREATE TABLE prescription_line (
    prescription_id BIGINT NOT NULL,
    position INTEGER NOT NULL,
    drug_id BIGINT NOT NULL,
    name VARCHAR(120) NOT NULL,
    spec VARCHAR(80) NOT NULL,
    dose BIGINT NOT NULL,
    dose_unit VARCHAR(20) NOT NULL,
    usage VARCHAR(20) NOT NULL,
    frequency VARCHAR(20) NOT NULL,
    days INTEGER NOT NULL,
    quantity BIGINT NOT NULL,
    base_unit VARCHAR(20) NOT NULL,
    pack_unit VARCHAR(20) NOT NULL,
    pack_size INTEGER NOT NULL,
    price BIGINT NOT NULL,
    note_sealed BLOB,
    charge_line_id BIGINT NOT NULL,
    group_no INTEGER NOT NULL,
    turns INTEGER NOT NULL,
    skin_test BOOLEAN NOT NULL,
    in_hospital BOOLEAN NOT NULL,
    row_mac VARCHAR(64),
    id BIGINT NOT NULL,
    CONSTRAINT fk_prescription_line_prescription_id FOREIGN KEY(prescription_id) REFERENCES prescription (id),
    CONSTRAINT pk_prescription_line PRIMARY KEY (id)
);

CREATE INDEX ix_prescription_line_prescription ON prescription_line (prescription_id);

CREATE TABLE purchase_order (
    number VARCHAR(32) NOT NULL,
    supplier_id BIGINT NOT NULL,
    store_id BIGINT NOT NULL,
    channel VARCHAR(10) NOT NULL,
    state VARCHAR(12) NOT NULL,
    platform_number VARCHAR(60) NOT NULL,
    amount BIGINT NOT NULL,
    note VARCHAR(200) NOT NULL,
    made_at DATETIME NOT NULL,
    made_by_name VARCHAR(60) NOT NULL,
    changed_at DATETIME NOT NULL,
    changed_by_name VARCHAR(60) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT fk_purchase_order_supplier_id FOREIGN KEY(supplier_id) REFERENCES supplier (id),
    CONSTRAINT pk_purchase_order PRIMARY KEY (id),
    CONSTRAINT uq_purchase_order_number UNIQUE (number)
);

CREATE INDEX ix_purchase_order_state ON purchase_order (state, made_at);

CREATE INDEX ix_purchase_order_store ON purchase_order (store_id, made_at);

CREATE INDEX ix_purchase_order_supplier_id ON purchase_order (supplier_id);

CREATE TABLE region_search (
    owner_id INTEGER NOT NULL,
    kind VARCHAR(8) NOT NULL,
    search_key VARCHAR(64) NOT NULL,
    part SMALLINT NOT NULL,
    CONSTRAINT fk_region_search_owner_id FOREIGN KEY(owner_id) REFERENCES region (id) ON DELETE CASCADE,
    CONSTRAINT pk_region_search PRIMARY KEY (owner_id, kind, search_key)
);

CREATE INDEX ix_region_search_key ON region_search (part, search_key, owner_id, kind);

CREATE TABLE request_line (
    request_id BIGINT NOT NULL,
    position INTEGER NOT NULL,
    item_id BIGINT NOT NULL,
    name VARCHAR(120) NOT NULL,
    unit VARCHAR(20) NOT NULL,
    quantity BIGINT NOT NULL,
    price BIGINT NOT NULL,
    note_sealed BLOB,
    charge_line_id BIGINT NOT NULL,
    row_mac VARCHAR(64),
    id BIGINT NOT NULL,
    CONSTRAINT fk_request_line_request_id FOREIGN KEY(request_id) REFERENCES request (id),
    CONSTRAINT pk_request_line PRIMARY KEY (id)
);

CREATE INDEX ix_request_line_request ON request_line (request_id);

CREATE TABLE staff (
    code VARCHAR(20) NOT NULL,
    name VARCHAR(60) NOT NULL,
    sex VARCHAR(1) NOT NULL,
    department_id BIGINT NOT NULL,
    title VARCHAR(30) NOT NULL,
    role VARCHAR(30) NOT NULL,
    rights VARCHAR(120) NOT NULL,
    active BOOLEAN NOT NULL,
    revision INTEGER DEFAULT '1' NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT fk_staff_department_id FOREIGN KEY(department_id) REFERENCES department (id),
    CONSTRAINT pk_staff PRIMARY KEY (id),
    CONSTRAINT uq_staff_code UNIQUE (code)
);

CREATE INDEX ix_staff_department_id ON staff (department_id);

CREATE TABLE standin_ward_move (
    stay_id BIGINT NOT NULL,
    ward_from BIGINT NOT NULL,
    ward_to BIGINT NOT NULL,
    moved_at DATETIME NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT fk_standin_ward_move_stay_id FOREIGN KEY(stay_id) REFERENCES standin_stay (id),
    CONSTRAINT pk_standin_ward_move PRIMARY KEY (id)
);

CREATE INDEX ix_standin_ward_move_stay_id ON standin_ward_move (stay_id);

CREATE TABLE standin_ward_return (
    number VARCHAR(32) NOT NULL,
    stay_id BIGINT NOT NULL,
    ward_id BIGINT NOT NULL,
    state VARCHAR(10) NOT NULL,
    reason VARCHAR(200) NOT NULL,
    asked_at DATETIME NOT NULL,
    asked_by_name VARCHAR(60) NOT NULL,
    changed_at DATETIME NOT NULL,
    changed_by_name VARCHAR(60) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT fk_standin_ward_return_stay_id FOREIGN KEY(stay_id) REFERENCES standin_stay (id),
    CONSTRAINT pk_standin_ward_return PRIMARY KEY (id),
    CONSTRAINT uq_standin_ward_return_number UNIQUE (number)
);

CREATE INDEX ix_standin_ward_return_state ON standin_ward_return (state, asked_at);

CREATE INDEX ix_standin_ward_return_stay_id ON standin_ward_return (stay_id);

CREATE TABLE supplier_credit (
    number VARCHAR(32) NOT NULL,
    document_id BIGINT NOT NULL,
    supplier_id BIGINT NOT NULL,
    amount BIGINT NOT NULL,
    invoice_id BIGINT,
    made_at DATETIME NOT NULL,
    made_by_name VARCHAR(60) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT ck_supplier_credit_amount CHECK (amount >= 0),
    CONSTRAINT fk_supplier_credit_supplier_id FOREIGN KEY(supplier_id) REFERENCES supplier (id),
    CONSTRAINT pk_supplier_credit PRIMARY KEY (id),
    CONSTRAINT uq_supplier_credit_document_id_supplier_id UNIQUE (document_id, supplier_id)
);

CREATE INDEX ix_supplier_credit_payable ON supplier_credit (supplier_id, invoice_id);

CREATE TABLE supplier_invoice (
    number VARCHAR(40) NOT NULL,
    supplier_id BIGINT NOT NULL,
    amount BIGINT NOT NULL,
    invoice_date DATE NOT NULL,
    due_date DATE NOT NULL,
    state VARCHAR(10) NOT NULL,
    made_at DATETIME NOT NULL,
    made_by_name VARCHAR(60) NOT NULL,
    paid_at DATETIME,
    paid_by_name VARCHAR(60),
    payment_note VARCHAR(100) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT fk_supplier_invoice_supplier_id FOREIGN KEY(supplier_id) REFERENCES supplier (id),
    CONSTRAINT pk_supplier_invoice PRIMARY KEY (id),
    CONSTRAINT uq_supplier_invoice_supplier_id_number UNIQUE (supplier_id, number)
);

CREATE INDEX ix_supplier_invoice_state ON supplier_invoice (state, due_date);

CREATE TABLE supplier_paper (
    supplier_id BIGINT NOT NULL,
    kind VARCHAR(20) NOT NULL,
    number VARCHAR(60) NOT NULL,
    valid_from DATE NOT NULL,
    valid_to DATE NOT NULL,
    note VARCHAR(200) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT fk_supplier_paper_supplier_id FOREIGN KEY(supplier_id) REFERENCES supplier (id),
    CONSTRAINT pk_supplier_paper PRIMARY KEY (id)
);

CREATE INDEX ix_supplier_paper_end ON supplier_paper (valid_to);

CREATE INDEX ix_supplier_paper_supplier_id ON supplier_paper (supplier_id);

CREATE TABLE supplier_search (
    owner_id INTEGER NOT NULL,
    kind VARCHAR(8) NOT NULL,
    search_key VARCHAR(64) NOT NULL,
    part SMALLINT NOT NULL,
    CONSTRAINT fk_supplier_search_owner_id FOREIGN KEY(owner_id) REFERENCES supplier (id) ON DELETE CASCADE,
    CONSTRAINT pk_supplier_search PRIMARY KEY (owner_id, kind, search_key)
);

CREATE INDEX ix_supplier_search_key ON supplier_search (part, search_key, owner_id, kind);

CREATE TABLE ward (
    code VARCHAR(20) NOT NULL,
    name VARCHAR(60) NOT NULL,
    department_id BIGINT NOT NULL,
    beds INTEGER NOT NULL,
    active BOOLEAN NOT NULL,
    revision INTEGER DEFAULT '1' NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT fk_ward_department_id FOREIGN KEY(department_id) REFERENCES department (id),
    CONSTRAINT pk_ward PRIMARY KEY (id),
    CONSTRAINT uq_ward_code UNIQUE (code)
);

CREATE INDEX ix_ward_department_id ON ward (department_id);

CREATE TABLE ward_return_batch (
    acting_id BIGINT NOT NULL,
    line_id BIGINT NOT NULL,
    drug_id BIGINT NOT NULL,
    batch_id BIGINT NOT NULL,
    quantity BIGINT NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT ck_ward_return_batch_positive CHECK (quantity > 0),
    CONSTRAINT fk_ward_return_batch_acting_id FOREIGN KEY(acting_id) REFERENCES ward_return_acting (id),
    CONSTRAINT pk_ward_return_batch PRIMARY KEY (id)
);

CREATE INDEX ix_ward_return_batch_acting_id ON ward_return_batch (acting_id);

CREATE TABLE drug_return_batch (
    return_line_id BIGINT NOT NULL,
    batch_id BIGINT NOT NULL,
    quantity BIGINT NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT fk_drug_return_batch_return_line_id FOREIGN KEY(return_line_id) REFERENCES drug_return_line (id),
    CONSTRAINT pk_drug_return_batch PRIMARY KEY (id)
);

CREATE INDEX ix_drug_return_batch_return_line_id ON drug_return_batch (return_line_id);

CREATE TABLE extra_slot (
    session_id BIGINT NOT NULL,
    person_id BIGINT NOT NULL,
    reason VARCHAR(200) NOT NULL,
    state VARCHAR(10) NOT NULL,
    granted_at DATETIME NOT NULL,
    granted_by BIGINT NOT NULL,
    granted_by_name VARCHAR(60) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT fk_extra_slot_session_id FOREIGN KEY(session_id) REFERENCES clinic_session (id),
    CONSTRAINT pk_extra_slot PRIMARY KEY (id),
    CONSTRAINT uq_extra_slot_session_id_person_id UNIQUE (session_id, person_id)
);

CREATE INDEX ix_extra_slot_person_id ON extra_slot (person_id);

CREATE TABLE goods_receipt (
    number VARCHAR(32) NOT NULL,
    order_id BIGINT,
    supplier_id BIGINT NOT NULL,
    store_id BIGINT NOT NULL,
    state VARCHAR(12) NOT NULL,
    strict BOOLEAN NOT NULL,
    delivery_number VARCHAR(60) NOT NULL,
    amount BIGINT NOT NULL,
    invoice_id BIGINT,
    made_at DATETIME NOT NULL,
    made_by BIGINT NOT NULL,
    made_by_name VARCHAR(60) NOT NULL,
    changed_at DATETIME NOT NULL,
    changed_by_name VARCHAR(60) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT fk_goods_receipt_order_id FOREIGN KEY(order_id) REFERENCES purchase_order (id),
    CONSTRAINT fk_goods_receipt_supplier_id FOREIGN KEY(supplier_id) REFERENCES supplier (id),
    CONSTRAINT pk_goods_receipt PRIMARY KEY (id),
    CONSTRAINT uq_goods_receipt_number UNIQUE (number)
);

CREATE INDEX ix_goods_receipt_order_id ON goods_receipt (order_id);

CREATE INDEX ix_goods_receipt_payable ON goods_receipt (supplier_id, invoice_id);

CREATE INDEX ix_goods_receipt_store ON goods_receipt (store_id, made_at);

CREATE TABLE infusion_bottle_drug (
    bottle_id BIGINT NOT NULL,
    line_id BIGINT NOT NULL,
    drug_id BIGINT NOT NULL,
    name VARCHAR(120) NOT NULL,
    spec VARCHAR(80) NOT NULL,
    dose BIGINT NOT NULL,
    dose_unit VARCHAR(20) NOT NULL,
    skin_test BOOLEAN NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT fk_infusion_bottle_drug_bottle_id FOREIGN KEY(bottle_id) REFERENCES infusion_bottle (id),
    CONSTRAINT pk_infusion_bottle_drug PRIMARY KEY (id)
);

CREATE INDEX ix_infusion_bottle_drug_bottle_id ON infusion_bottle_drug (bottle_id);

CREATE TABLE item_set_line (
    set_id BIGINT NOT NULL,
    position INTEGER NOT NULL,
    item_id BIGINT NOT NULL,
    quantity BIGINT NOT NULL,
    optional BOOLEAN NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT ck_item_set_line_quantity CHECK (quantity > 0),
    CONSTRAINT fk_item_set_line_item_id FOREIGN KEY(item_id) REFERENCES charge_item (id),
    CONSTRAINT fk_item_set_line_set_id FOREIGN KEY(set_id) REFERENCES item_set (id),
    CONSTRAINT pk_item_set_line PRIMARY KEY (id),
    CONSTRAINT uq_item_set_line_set_id_position UNIQUE (set_id, position)
);

CREATE INDEX ix_item_set_line_item_id ON item_set_line (item_id);

CREATE TABLE item_set_search (
    owner_id INTEGER NOT NULL,
    kind VARCHAR(8) NOT NULL,
    search_key VARCHAR(64) NOT NULL,
    part SMALLINT NOT NULL,
    CONSTRAINT fk_item_set_search_owner_id FOREIGN KEY(owner_id) REFERENCES item_set (id) ON DELETE CASCADE,
    CONSTRAINT pk_item_set_search PRIMARY KEY (owner_id, kind, search_key)
);

CREATE INDEX ix_item_set_search_key ON item_set_search (part, search_key, owner_id, kind);

CREATE TABLE platform_delivery (
    platform_id VARCHAR(60) NOT NULL,
    order_id BIGINT NOT NULL,
    line_id BIGINT NOT NULL,
    quantity BIGINT NOT NULL,
    received BIGINT NOT NULL,
    returned BIGINT NOT NULL,
    price BIGINT NOT NULL,
    lot_no VARCHAR(40) NOT NULL,
    expiry DATE,
    shipped_at DATETIME NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT ck_platform_delivery_received CHECK (received >= 0 AND received <= quantity AND returned <= received),
    CONSTRAINT fk_platform_delivery_order_id FOREIGN KEY(order_id) REFERENCES purchase_order (id),
    CONSTRAINT pk_platform_delivery PRIMARY KEY (id),
    CONSTRAINT uq_platform_delivery_platform_id UNIQUE (platform_id)
);

CREATE INDEX ix_platform_delivery_order ON platform_delivery (order_id);

CREATE TABLE purchase_line (
    order_id BIGINT NOT NULL,
    position INTEGER NOT NULL,
    drug_id BIGINT NOT NULL,
    quantity BIGINT NOT NULL,
    pack_cost BIGINT NOT NULL,
    pack_size INTEGER NOT NULL,
    received BIGINT NOT NULL,
    product_id BIGINT,
    id BIGINT NOT NULL,
    CONSTRAINT ck_purchase_line_received CHECK (received >= 0 AND received <= quantity),
    CONSTRAINT fk_purchase_line_order_id FOREIGN KEY(order_id) REFERENCES purchase_order (id),
    CONSTRAINT pk_purchase_line PRIMARY KEY (id),
    CONSTRAINT uq_purchase_line_order_id_position UNIQUE (order_id, position)
);

CREATE INDEX ix_purchase_line_drug_id ON purchase_line (drug_id);

CREATE TABLE registration (
    number VARCHAR(32) NOT NULL,
    session_id BIGINT NOT NULL,
    encounter_id BIGINT NOT NULL,
    person_id BIGINT NOT NULL,
    day DATE NOT NULL,
    department_id BIGINT NOT NULL,
    doctor_id BIGINT,
    level VARCHAR(20) NOT NULL,
    queue_no INTEGER NOT NULL,
    state VARCHAR(12) NOT NULL,
    channel VARCHAR(20) NOT NULL,
    way VARCHAR(12) NOT NULL,
    renews_id BIGINT,
    settlement_id BIGINT,
    registered_at DATETIME NOT NULL,
    registered_by BIGINT NOT NULL,
    registered_by_name VARCHAR(60) NOT NULL,
    cancelled_at DATETIME,
    cancelled_by_name VARCHAR(60),
    cancel_reason VARCHAR(200),
    no_show BOOLEAN NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT fk_registration_session_id FOREIGN KEY(session_id) REFERENCES clinic_session (id),
    CONSTRAINT pk_registration PRIMARY KEY (id),
    CONSTRAINT uq_registration_number UNIQUE (number),
    CONSTRAINT uq_registration_renews_id UNIQUE (renews_id),
    CONSTRAINT uq_registration_session_id_queue_no UNIQUE (session_id, queue_no)
);

CREATE INDEX ix_registration_day ON registration (day, department_id, state);

CREATE INDEX ix_registration_encounter_id ON registration (encounter_id);

CREATE INDEX ix_registration_listing ON registration (day, id);

CREATE INDEX ix_registration_person ON registration (person_id, day);

CREATE TABLE staff_search (
    owner_id INTEGER NOT NULL,
    kind VARCHAR(8) NOT NULL,
    search_key VARCHAR(64) NOT NULL,
    part SMALLINT NOT NULL,
    CONSTRAINT fk_staff_search_owner_id FOREIGN KEY(owner_id) REFERENCES staff (id) ON DELETE CASCADE,
    CONSTRAINT pk_staff_search PRIMARY KEY (owner_id, kind, search_key)
);

CREATE INDEX ix_staff_search_key ON staff_search (part, search_key, owner_id, kind);

CREATE TABLE standin_ward_return_line (
    return_id BIGINT NOT NULL,
    drug_id BIGINT NOT NULL,
    quantity BIGINT NOT NULL,
    issue_id BIGINT NOT NULL,
    issue_line_id BIGINT NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT ck_standin_ward_return_line_positive CHECK (quantity > 0),
    CONSTRAINT fk_standin_ward_return_line_return_id FOREIGN KEY(return_id) REFERENCES standin_ward_return (id),
    CONSTRAINT pk_standin_ward_return_line PRIMARY KEY (id)
);

CREATE INDEX ix_standin_ward_return_line_return_id ON standin_ward_return_line (return_id);

CREATE TABLE goods_receipt_code (
    receipt_id BIGINT NOT NULL,
    line_id BIGINT NOT NULL,
    code VARCHAR(100) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT fk_goods_receipt_code_receipt_id FOREIGN KEY(receipt_id) REFERENCES goods_receipt (id),
    CONSTRAINT pk_goods_receipt_code PRIMARY KEY (id),
    CONSTRAINT uq_goods_receipt_code_receipt_id_code UNIQUE (receipt_id, code)
);

CREATE TABLE goods_receipt_line (
    receipt_id BIGINT NOT NULL,
    position INTEGER NOT NULL,
    order_line_id BIGINT,
    delivery_id BIGINT,
    drug_id BIGINT NOT NULL,
    lot_no VARCHAR(40) NOT NULL,
    expiry DATE NOT NULL,
    pack_cost BIGINT NOT NULL,
    pack_size INTEGER NOT NULL,
    arrived BIGINT NOT NULL,
    accepted BIGINT NOT NULL,
    reject_reason VARCHAR(200) NOT NULL,
    batch_id BIGINT,
    id BIGINT NOT NULL,
    CONSTRAINT ck_goods_receipt_line_accepted CHECK (accepted >= 0 AND accepted <= arrived),
    CONSTRAINT fk_goods_receipt_line_receipt_id FOREIGN KEY(receipt_id) REFERENCES goods_receipt (id),
    CONSTRAINT pk_goods_receipt_line PRIMARY KEY (id),
    CONSTRAINT uq_goods_receipt_line_receipt_id_position UNIQUE (receipt_id, position)
);

CREATE TABLE platform_return (
    delivery_id BIGINT NOT NULL,
    document_id BIGINT NOT NULL,
    quantity BIGINT NOT NULL,
    reason VARCHAR(200) NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT ck_platform_return_positive CHECK (quantity > 0),
    CONSTRAINT fk_platform_return_delivery_id FOREIGN KEY(delivery_id) REFERENCES platform_delivery (id),
    CONSTRAINT pk_platform_return PRIMARY KEY (id),
    CONSTRAINT uq_platform_return_document_id UNIQUE (document_id)
);

CREATE INDEX ix_platform_return_delivery_id ON platform_return (delivery_id);

INSERT INTO alembic_version (version_num) VALUES ('0003') RETURNING version_num;

UPDATE key_block SET next=(key_block.next + ?) WHERE key_block.name = ?;

INSERT INTO key_block (name, next) VALUES (?, ?);

UPDATE key_block SET next=(key_block.next + ?) WHERE key_block.name = ?;

INSERT INTO schema_revision (revision, phase, release, applied_at) VALUES (?, ?, ?, ?) ON CONFLICT (revision) DO UPDATE SET phase = excluded.phase, release = excluded.release, applied_at = excluded.applied_at;

ALTER TABLE person ADD COLUMN name_kept_sealed BLOB;

UPDATE alembic_version SET version_num='0004' WHERE alembic_version.version_num = '0003';

INSERT INTO schema_revision (revision, phase, release, applied_at) VALUES (?, ?, ?, ?) ON CONFLICT (revision) DO UPDATE SET phase = excluded.phase, release = excluded.release, applied_at = excluded.applied_at;

ALTER TABLE drug_return ADD COLUMN cancel_reason VARCHAR(200);

ALTER TABLE goods_receipt ADD COLUMN cancel_reason VARCHAR(200);

ALTER TABLE purchase_order ADD COLUMN end_reason VARCHAR(200);

ALTER TABLE refund_approval ADD COLUMN decision_note VARCHAR(200);

UPDATE alembic_version SET version_num='0005' WHERE alembic_version.version_num = '0004';

INSERT INTO schema_revision (revision, phase, release, applied_at) VALUES (?, ?, ?, ?) ON CONFLICT (revision) DO UPDATE SET phase = excluded.phase, release = excluded.release, applied_at = excluded.applied_at;

CREATE TABLE trace_pack (
    code VARCHAR(100) NOT NULL,
    parent VARCHAR(100),
    smallest BOOLEAN NOT NULL,
    source VARCHAR(10) NOT NULL,
    seen_at DATETIME NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_trace_pack PRIMARY KEY (id),
    CONSTRAINT uq_trace_pack_code UNIQUE (code)
);

CREATE INDEX ix_trace_pack_parent ON trace_pack (parent);

ALTER TABLE stock_document ADD COLUMN end_reason VARCHAR(200);

ALTER TABLE stocktake ADD COLUMN end_reason VARCHAR(200);

UPDATE alembic_version SET version_num='0006' WHERE alembic_version.version_num = '0005';

INSERT INTO schema_revision (revision, phase, release, applied_at) VALUES (?, ?, ?, ?) ON CONFLICT (revision) DO UPDATE SET phase = excluded.phase, release = excluded.release, applied_at = excluded.applied_at;

CREATE TABLE stocktake_code (
    stocktake_id BIGINT NOT NULL,
    code_id BIGINT NOT NULL,
    position INTEGER NOT NULL,
    quantity BIGINT NOT NULL,
    CONSTRAINT pk_stocktake_code PRIMARY KEY (stocktake_id, code_id)
);

UPDATE alembic_version SET version_num='0007' WHERE alembic_version.version_num = '0006';

INSERT INTO schema_revision (revision, phase, release, applied_at) VALUES (?, ?, ?, ?) ON CONFLICT (revision) DO UPDATE SET phase = excluded.phase, release = excluded.release, applied_at = excluded.applied_at;

CREATE TABLE export_request (
    report VARCHAR(60) NOT NULL,
    title VARCHAR(100) NOT NULL,
    filters TEXT NOT NULL,
    row_count BIGINT NOT NULL,
    reason VARCHAR(200) NOT NULL,
    state VARCHAR(10) NOT NULL,
    requested_by BIGINT NOT NULL,
    requested_by_name VARCHAR(60) NOT NULL,
    requested_at DATETIME NOT NULL,
    decided_by BIGINT,
    decided_by_name VARCHAR(60),
    decided_at DATETIME,
    valid_until DATETIME,
    id BIGINT NOT NULL,
    CONSTRAINT pk_export_request PRIMARY KEY (id)
);

CREATE INDEX ix_export_request_mine ON export_request (requested_by, report, requested_at);

CREATE INDEX ix_export_request_state ON export_request (state, requested_at, id);

UPDATE alembic_version SET version_num='0008' WHERE alembic_version.version_num = '0007';

INSERT INTO schema_revision (revision, phase, release, applied_at) VALUES (?, ?, ?, ?) ON CONFLICT (revision) DO UPDATE SET phase = excluded.phase, release = excluded.release, applied_at = excluded.applied_at;
