"""The sandbox bank's file: its tables, and how a file of an earlier version becomes one of this.

A receipt holds what was done with it as three sums, so that the database itself refuses to give away more of it
than came in.
"""

import sqlite3
from pathlib import Path

VERSION = 1

_SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS account (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    balance_centavos INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS payouts (
    number INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    content TEXT NOT NULL,
    amount_centavos INTEGER NOT NULL CHECK (amount_centavos > 0),
    moods TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('processing', 'paid', 'rejected', 'returned', 'refused')),
    end_to_end_id TEXT UNIQUE,
    reason TEXT,
    created_at REAL NOT NULL,
    due REAL
);
CREATE INDEX IF NOT EXISTS payouts_due ON payouts (due) WHERE due IS NOT NULL;
CREATE INDEX IF NOT EXISTS payouts_processing ON payouts (amount_centavos) WHERE state = 'processing';
CREATE TABLE IF NOT EXISTS charges (
    number INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    content TEXT NOT NULL,
    amount_centavos INTEGER NOT NULL CHECK (amount_centavos > 0),
    moods TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('active', 'paid', 'removed', 'refused')),
    reason TEXT,
    br_code TEXT NOT NULL,
    created_at REAL NOT NULL,
    expires_at REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS receipts (
    number INTEGER PRIMARY KEY,
    charge_key TEXT NOT NULL REFERENCES charges (key),
    end_to_end_id TEXT NOT NULL UNIQUE,
    amount_centavos INTEGER NOT NULL CHECK (amount_centavos > 0),
    payer_tax_id TEXT,
    payer_name TEXT NOT NULL,
    moods TEXT NOT NULL,
    blocked INTEGER NOT NULL CHECK (blocked IN (0, 1)),
    refunded_centavos INTEGER NOT NULL DEFAULT 0 CHECK (refunded_centavos >= 0),
    taken_back_centavos INTEGER NOT NULL DEFAULT 0 CHECK (taken_back_centavos >= 0),
    disputed_centavos INTEGER NOT NULL DEFAULT 0 CHECK (disputed_centavos >= 0),
    time REAL NOT NULL,
    CHECK (refunded_centavos + taken_back_centavos + disputed_centavos <= amount_centavos)
);
CREATE INDEX IF NOT EXISTS receipts_of_charge ON receipts (charge_key);
CREATE INDEX IF NOT EXISTS receipts_held ON receipts (number) WHERE blocked = 1 OR disputed_centavos > 0;
CREATE TABLE IF NOT EXISTS refunds (
    number INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    content TEXT NOT NULL,
    end_to_end_id TEXT NOT NULL,
    amount_centavos INTEGER NOT NULL CHECK (amount_centavos > 0),
    moods TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('processing', 'refunded', 'rejected', 'refused')),
    return_id TEXT UNIQUE,
    reason TEXT,
    created_at REAL NOT NULL,
    due REAL
);
CREATE INDEX IF NOT EXISTS refunds_due ON refunds (due) WHERE due IS NOT NULL;
CREATE INDEX IF NOT EXISTS refunds_processing ON refunds (amount_centavos) WHERE state = 'processing';
CREATE TABLE IF NOT EXISTS disputes (
    number INTEGER PRIMARY KEY,
    end_to_end_id TEXT NOT NULL REFERENCES receipts (end_to_end_id),
    amount_centavos INTEGER NOT NULL CHECK (amount_centavos > 0),
    state TEXT NOT NULL CHECK (state IN ('open', 'won', 'lost')),
    reason TEXT NOT NULL,
    answer_until REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS dispute_statements (
    dispute INTEGER NOT NULL REFERENCES disputes (number),
    statement TEXT NOT NULL,
    PRIMARY KEY (dispute, statement)
);
CREATE TABLE IF NOT EXISTS lines (
    number INTEGER PRIMARY KEY,
    key TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('payout', 'return', 'receipt', 'refund', 'take_back')),
    end_to_end_id TEXT NOT NULL UNIQUE,
    amount_centavos INTEGER NOT NULL,
    time REAL NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS lines_once ON lines (key, kind) WHERE kind IN ('payout', 'return', 'refund');
CREATE TABLE IF NOT EXISTS letters (
    id TEXT PRIMARY KEY,
    key TEXT NOT NULL,
    about TEXT NOT NULL,
    type TEXT NOT NULL,
    body TEXT NOT NULL,
    fault TEXT,
    copies INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    due REAL NOT NULL,
    UNIQUE (about, type)
);
CREATE INDEX IF NOT EXISTS letters_due ON letters (due) WHERE copies > 0;
CREATE INDEX IF NOT EXISTS letters_of_key ON letters (key);
CREATE TABLE IF NOT EXISTS spent_moods (
    queue TEXT NOT NULL,
    key TEXT NOT NULL,
    mood TEXT NOT NULL,
    PRIMARY KEY (queue, key, mood)
);
CREATE TABLE IF NOT EXISTS standing_moods (
    queue TEXT PRIMARY KEY,
    moods TEXT NOT NULL,
    remaining INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS sky (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    dark INTEGER NOT NULL CHECK (dark IN (0, 1))
);
INSERT OR IGNORE INTO sky VALUES (1, 0);
PRAGMA user_version = {VERSION};
COMMIT;
"""

_CHANGED = ("account", "lines", "letters", "spent_moods", "standing_moods")
_FROM_VERSION_0 = """
INSERT INTO account (id, balance_centavos) SELECT id, balance_centavos FROM old_account;
INSERT INTO lines SELECT number, key, kind, end_to_end_id, amount_centavos, time FROM old_lines;
INSERT INTO letters (id, key, about, type, body, fault, copies, attempts, due)
    SELECT id, key, 'payouts/' || key, type, body, fault, copies, attempts, due FROM old_letters;
INSERT INTO spent_moods SELECT 'payouts', key, mood FROM old_spent_moods;
INSERT INTO standing_moods SELECT 'payouts', moods, remaining FROM old_standing_moods;
UPDATE sky SET dark = (SELECT dark FROM old_standing_moods);
"""
"""The bank of version 0 only paid."""


def open_file(file: Path | str) -> sqlite3.Connection:
    """Create or upgrade the file, and open it."""
    db = sqlite3.connect(file)
    db.execute("PRAGMA journal_mode = WAL")
    # NORMAL keeps every commit through a killed process, which is what the sandbox promises.
    db.execute("PRAGMA synchronous = NORMAL")
    (version,) = db.execute("PRAGMA user_version").fetchone()
    is_used = db.execute("SELECT 1 FROM sqlite_master WHERE name = 'payouts'").fetchone() is not None
    db.executescript(_upgrade() if is_used and version == 0 else _SCHEMA)
    db.execute("PRAGMA foreign_keys = ON")
    return db


def _upgrade() -> str:
    """All in the one transaction of the schema: a process killed half way leaves the old file."""
    begin, schema = _SCHEMA.split(";", 1)
    aside = "".join(f"ALTER TABLE {table} RENAME TO old_{table};" for table in _CHANGED)
    dropped = "".join(f"DROP TABLE old_{table};" for table in _CHANGED)
    head, commit = schema.rsplit("COMMIT;", 1)
    return f"{begin};DROP INDEX letters_due;{aside}{head}{_FROM_VERSION_0}{dropped}COMMIT;{commit}"
