-- One transfer between two users, the rows that ledger_post writes, nothing checked or locked beyond them.
\set a random(0, :accounts - 1)
\set step random(1, :accounts - 1)
\set b (:a + :step) % :accounts
\set source :first + :a
\set target :first + :b
WITH t AS (
    INSERT INTO ledger_transactions (key, kind, reference, content_hash, recorded_at)
        VALUES (gen_random_uuid() || '/bench', 'transfer', gen_random_uuid(),
                '\x0000000000000000000000000000000000000000000000000000000000000000', clock_timestamp())
        RETURNING id, recorded_at
), m AS (
    UPDATE ledger_accounts SET balance = balance + CASE WHEN id = :source THEN -1 ELSE 1 END, moved_at = clock_timestamp()
        WHERE id IN (:source, :target) RETURNING id, balance
)
INSERT INTO ledger_postings (transaction_id, account_id, amount, balance_after, recorded_at)
    SELECT t.id, m.id, CASE WHEN m.id = :source THEN -1 ELSE 1 END, m.balance, t.recorded_at FROM t, m;
