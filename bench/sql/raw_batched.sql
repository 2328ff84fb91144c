-- Many transfers between users as sets: each account is locked once, in order, and updated once.
WITH i AS MATERIALIZED (
    SELECT gen_random_uuid() || '/bench' AS key, a, (a + step) % :accounts AS b
        FROM (
            SELECT floor(random() * :accounts)::int AS a, 1 + floor(random() * (:accounts - 1))::int AS step
                FROM generate_series(1, :batch)
        ) AS r
), t AS (
    INSERT INTO ledger_transactions (key, kind, reference, content_hash, recorded_at)
        SELECT key, 'transfer', gen_random_uuid(),
               '\x0000000000000000000000000000000000000000000000000000000000000000', clock_timestamp() FROM i
        RETURNING id, key, recorded_at
), p AS MATERIALIZED (
    SELECT t.id, t.recorded_at, :first + v.place AS account_id, v.amount
        FROM i JOIN t USING (key) CROSS JOIN LATERAL (VALUES (a, -1), (b, 1)) AS v (place, amount)
), l AS MATERIALIZED (
    SELECT id FROM ledger_accounts WHERE id IN (SELECT account_id FROM p) ORDER BY id FOR NO KEY UPDATE
), m AS (
    UPDATE ledger_accounts AS x SET balance = x.balance + d.moved, moved_at = clock_timestamp()
        FROM (SELECT account_id, sum(amount) AS moved FROM p GROUP BY account_id) AS d JOIN l ON l.id = d.account_id
        WHERE x.id = d.account_id RETURNING x.id, x.balance
)
INSERT INTO ledger_postings (transaction_id, account_id, amount, balance_after, recorded_at)
    SELECT p.id, p.account_id, p.amount, m.balance, p.recorded_at FROM p JOIN m ON m.id = p.account_id;
