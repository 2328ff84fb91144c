-- The ledger's own door. Statements are split at the lines of two semicolons.
--
-- The program's role may read the ledger and call ledger_post; it may write none of its tables. So what this file
-- checks in one place cannot be gone around, and the checks need not be triggers on every row.

DROP TRIGGER ledger_postings_carry_balance ON ledger_postings
-- ;;
DROP TRIGGER ledger_postings_balance_to_zero ON ledger_postings
-- ;;
DROP TRIGGER ledger_accounts_move_by_postings ON ledger_accounts
-- ;;
DROP FUNCTION ledger_post(jsonb)
-- ;;
DROP FUNCTION ledger_carry_balance()
-- ;;
DROP FUNCTION ledger_check_zero_sum()
-- ;;
DROP FUNCTION ledger_refuse_other_changes()
-- ;;
ALTER TABLE ledger_transactions DISABLE TRIGGER USER
-- ;;
ALTER TABLE ledger_postings DISABLE TRIGGER USER
-- ;;
-- Until now a transaction bore the time at which it began to wait; from now on times follow the order of posting.
UPDATE ledger_transactions AS t SET recorded_at = m.recorded_at
    FROM (SELECT id, max(recorded_at) OVER (ORDER BY id) AS recorded_at FROM ledger_transactions) AS m
    WHERE m.id = t.id AND m.recorded_at <> t.recorded_at
-- ;;
UPDATE ledger_postings AS p SET recorded_at = t.recorded_at FROM ledger_transactions AS t WHERE t.id = p.transaction_id
-- ;;
UPDATE ledger_accounts AS a SET moved_at = m.moved_at
    FROM (SELECT account_id, max(recorded_at) AS moved_at FROM ledger_postings GROUP BY account_id) AS m
    WHERE m.account_id = a.id AND a.is_constrained
-- ;;
UPDATE ledger_transactions AS t SET content_hash = c.hash
    FROM (
        SELECT t.id, sha256(convert_to(t.kind || E'\n' || t.reference || E'\n' || string_agg(
                   E'\n' || coalesce(a.owner, '') || E'\t' || a.asset_id || E'\t' || a.purpose || E'\t' || p.amount, ''
                   ORDER BY a.asset_id COLLATE "C", a.purpose COLLATE "C", coalesce(a.owner, '') COLLATE "C"),
               'UTF8')) AS hash
            FROM ledger_transactions AS t
            JOIN ledger_postings AS p ON p.transaction_id = t.id
            JOIN ledger_accounts AS a ON a.id = p.account_id
            GROUP BY t.id
    ) AS c WHERE c.id = t.id
-- ;;
ALTER TABLE ledger_transactions ENABLE TRIGGER USER
-- ;;
ALTER TABLE ledger_postings ENABLE TRIGGER USER
-- ;;
ALTER TABLE ledger_postings ALTER COLUMN recorded_at SET NOT NULL
-- ;;
ALTER TABLE ledger_accounts SET (fillfactor = 70)
-- ;;
CREATE TRIGGER ledger_accounts_stay BEFORE DELETE OR TRUNCATE ON ledger_accounts
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
-- ;;
CREATE TRIGGER ledger_accounts_keep_their_names BEFORE UPDATE OF id, owner, asset_id, purpose, is_constrained ON ledger_accounts
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
-- ;;
CREATE TRIGGER ledger_seals_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_seals
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
-- ;;
CREATE TRIGGER ledger_snapshots_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_snapshots
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
-- ;;
-- What users read a kind of transaction as. models/ledger/types.py says the same, and a test compares.
CREATE FUNCTION ledger_operation(kind text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE kind
        WHEN 'adjustment' THEN 'adjustment'
        WHEN 'credit' THEN 'refund'
        WHEN 'deposit' THEN 'deposit'
        WHEN 'funding' THEN 'adjustment'
        WHEN 'hold' THEN 'freeze'
        WHEN 'network_fee' THEN 'fee'
        WHEN 'payout' THEN 'withdrawal'
        WHEN 'payout_return' THEN 'refund'
        WHEN 'refund' THEN 'refund'
        WHEN 'release' THEN 'unfreeze'
        WHEN 'sell' THEN 'trade'
        WHEN 'transfer' THEN 'transfer'
        WHEN 'unsell' THEN 'trade'
        WHEN 'withdrawal' THEN 'withdrawal'
    END
$$
-- ;;
-- Posts a batch in order: one round trip. Each key happens once: with the same content again it is the first
-- result, with other content an error. Per transaction one element of keys, kinds, refs and reasons; per posting
-- one of numbers (its transaction's place, ascending), owners (NULL: the house), assets, purposes and amounts.
-- The postings of a transaction come ordered by asset, purpose and owner: their order is part of the content.
--
-- The owners are locked first, in one order and with all their accounts, so that whoever posts again for the same
-- owner in the same database transaction never waits crosswise. Advisory locks, because a row lock is a write.
-- The house's accounts are neither locked nor updated: their balance is a snapshot and the postings since.
--
-- Plans are made once, without looking at the values: planning anew for each call took longer than posting. They never
-- read a whole table: one made while the accounts were few would go on doing so when they are many.
CREATE FUNCTION ledger_post(
    keys text[], kinds text[], refs text[], reasons text[],
    numbers int[], owners text[], assets text[], purposes text[], amounts numeric[]
) RETURNS boolean[] LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
    fresh boolean[] := '{}';
    began xid8;
    moment timestamptz;
    content text;
    hash bytea;
    added bigint;
    account bigint;
    after numeric;
    next int := 1;
    past int;
    total numeric;
    one bigint;
    two bigint;
    transactions_of bigint[];
    accounts_of bigint[];
    amounts_of numeric[];
    afters_of numeric[];
    posted int := 0;
    per_transaction text;
    per_posting text;
    place text;
    before text;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'posting needs READ COMMITTED: it must see what it waited for';
    END IF;
    -- Arrays count from where they like: all from one, and as many of each, or places and values come apart.
    per_transaction := '[1:' || cardinality(keys) || ']';
    per_posting := '[1:' || cardinality(numbers) || ']';
    IF (array_dims(keys) = per_transaction AND array_dims(kinds) = per_transaction
        AND array_dims(refs) = per_transaction AND array_dims(reasons) = per_transaction
        AND array_dims(numbers) = per_posting AND array_dims(owners) = per_posting
        AND array_dims(assets) = per_posting AND array_dims(purposes) = per_posting
        AND array_dims(amounts) = per_posting) IS NOT TRUE
    THEN
        RAISE EXCEPTION 'the arrays are not of one shape' USING ERRCODE = 'LQ006';
    END IF;
    IF cardinality(owners) <= 2 THEN
        -- The same without a query, which took as long as an update. NULL, for the house alone, locks nothing.
        one := hashtextextended(coalesce(owners[1], owners[2]), 0);
        two := hashtextextended(coalesce(owners[2], owners[1]), 0);
        IF pg_advisory_xact_lock(least(one, two)) IS NULL THEN NULL; END IF;
        IF one <> two AND pg_advisory_xact_lock(greatest(one, two)) IS NULL THEN NULL; END IF;
    ELSE
        PERFORM pg_advisory_xact_lock(lock) FROM (
            SELECT DISTINCT hashtextextended(owner, 0) AS lock FROM unnest(owners) AS o(owner)
            WHERE owner IS NOT NULL ORDER BY lock) AS ordered;
    END IF;

    -- ledger_seal relies on this order: first the number, so that a sealer can wait for it, and only then the time, which
    -- is never one that a sealer has announced.
    began := pg_current_xact_id();
    SELECT greatest(clock_timestamp(), c.closing_at + interval '1 microsecond',
                    (SELECT max(a.moved_at) FROM ledger_accounts AS a WHERE a.owner = ANY (owners)))
        INTO STRICT moment FROM ledger_clock AS c;

    FOR number IN 1 .. cardinality(keys) LOOP
        IF ledger_operation(kinds[number]) IS NULL THEN
            RAISE EXCEPTION 'no kind of transaction is called %', kinds[number] USING ERRCODE = 'LQ006';
        END IF;
        -- Columns would cut spaces off in silence, and a line's end would blur where one word ends and the next begins.
        IF greatest(length(keys[number]), length(refs[number]), length(reasons[number])) > 200
           OR strpos(refs[number] || coalesce(reasons[number], ''), E'\n') > 0
        THEN
            RAISE EXCEPTION 'a key, reference or reason is longer than 200 characters, or has two lines'
                USING ERRCODE = 'LQ006';
        END IF;
        content := kinds[number] || E'\n' || refs[number] || E'\n' || coalesce(reasons[number], '');
        past := next;
        before := '';
        total := 0;
        WHILE numbers[past] = number LOOP
            -- Assets come in order, so each must have summed to zero where the next begins.
            IF (total <> 0 AND assets[past] IS DISTINCT FROM assets[past - 1]) OR scale(amounts[past]) IS DISTINCT FROM 0 THEN
                RAISE EXCEPTION 'ledger_postings_balance_to_zero' USING ERRCODE = 'LQ003';
            END IF;
            total := total + amounts[past];
            place := assets[past] || E'\t' || purposes[past] || E'\t' || coalesce(owners[past], '');
            IF place COLLATE "C" <= before THEN
                RAISE EXCEPTION 'postings are ordered by asset, purpose and owner, one for each account'
                    USING ERRCODE = 'LQ006';
            END IF;
            before := place;
            content := content || E'\n' || coalesce(owners[past], '') || E'\t' || assets[past]
                || E'\t' || purposes[past] || E'\t' || amounts[past];
            past := past + 1;
        END LOOP;
        IF past = next OR total IS DISTINCT FROM 0 THEN
            RAISE EXCEPTION 'ledger_postings_balance_to_zero' USING ERRCODE = 'LQ003';
        END IF;
        hash := sha256(convert_to(content, 'UTF8'));

        INSERT INTO ledger_transactions (key, kind, reference, reason, content_hash, recorded_at)
            VALUES (keys[number], kinds[number], refs[number], reasons[number], hash, moment)
            ON CONFLICT ON CONSTRAINT uq_ledger_transactions_key DO NOTHING RETURNING id INTO added;
        fresh[number] := FOUND;
        IF NOT FOUND THEN
            IF hash IS DISTINCT FROM (SELECT t.content_hash FROM ledger_transactions AS t WHERE t.key = keys[number]) THEN
                RAISE EXCEPTION 'operation key % was posted with other content', keys[number] USING ERRCODE = 'LQ001';
            END IF;
            next := past;
        END IF;

        WHILE next < past LOOP
            after := NULL;
            FOR attempt IN 1 .. 2 LOOP
                IF owners[next] IS NULL THEN
                    SELECT a.id INTO account FROM ledger_accounts AS a
                        WHERE a.owner IS NULL AND a.asset_id = assets[next] AND a.purpose = purposes[next];
                ELSE
                    UPDATE ledger_accounts AS a SET balance = a.balance + amounts[next], moved_at = moment
                        WHERE a.owner = owners[next] AND a.asset_id = assets[next] AND a.purpose = purposes[next]
                        RETURNING a.id, a.balance INTO account, after;
                END IF;
                EXIT WHEN FOUND;
                IF purposes[next] !~ '^[a-z_]{1,32}(:[a-z0-9_-]{1,31})?$' THEN
                    RAISE EXCEPTION 'no account has the purpose %', purposes[next] USING ERRCODE = 'LQ006';
                END IF;
                INSERT INTO ledger_accounts (owner, asset_id, purpose, is_constrained, balance)
                    VALUES (owners[next], assets[next], purposes[next], owners[next] IS NOT NULL,
                            CASE WHEN owners[next] IS NOT NULL THEN 0 END)
                    ON CONFLICT DO NOTHING;
            END LOOP;
            posted := posted + 1;
            transactions_of[posted] := added;
            accounts_of[posted] := account;
            amounts_of[posted] := amounts[next];
            afters_of[posted] := after;
            next := next + 1;
        END LOOP;
    END LOOP;

    IF next <= cardinality(numbers) THEN
        RAISE EXCEPTION 'ledger_postings_balance_to_zero' USING ERRCODE = 'LQ003',
            DETAIL = 'the postings are not in the order of their transactions';
    END IF;
    INSERT INTO ledger_postings (transaction_id, account_id, amount, balance_after, recorded_at)
        SELECT p.*, moment FROM unnest(transactions_of, accounts_of, amounts_of, afters_of) AS p;
    RETURN fresh;
END $$
-- ;;
-- Sealing has three steps, each in a database transaction of its own; see models/ledger/seal.py.
-- First: announce a time. Whoever posts from now on gets a later one, even if the clock were set back.
CREATE FUNCTION ledger_announce_seal() RETURNS timestamptz LANGUAGE sql SECURITY DEFINER
SET search_path = public, pg_temp AS $$
    SELECT pg_advisory_xact_lock(1, 1);
    UPDATE ledger_clock SET closing_at = greatest(clock_timestamp(), closing_at + interval '1 microsecond')
        RETURNING closing_at
$$
-- ;;
-- Second, after the commit of the first: remember who may still be posting with an earlier time. The lock is taken
-- before this transaction gets its number: whoever has not seen the announced time has a smaller one. A row lock would
-- not do, since who waits for one has a number already.
CREATE FUNCTION ledger_mark_horizon() RETURNS timestamptz LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp AS $$
DECLARE
    marked timestamptz;
BEGIN
    IF pg_current_xact_id_if_assigned() IS NOT NULL THEN
        RAISE EXCEPTION 'a horizon is marked in a transaction of its own' USING ERRCODE = 'LQ006';
    END IF;
    PERFORM pg_advisory_xact_lock(1, 1);
    UPDATE ledger_clock SET horizon = pg_current_xact_id()::text::bigint, horizon_at = closing_at
        RETURNING horizon_at INTO marked;
    RETURN marked;
END $$
-- ;;
-- Third: once all of those have ended, nothing can be added before the announced time, and it is sealed, with a
-- snapshot of each house account that moved. Answers NULL while somebody is still posting, else the number of seals made.
CREATE FUNCTION ledger_seal(most int) RETURNS int LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp AS $$
DECLARE
    clock ledger_clock;
    last ledger_seals;
    boundary timestamptz;
    made int := 0;
    leaves bytea;
    found_transactions int;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'sealing needs READ COMMITTED';
    END IF;
    SELECT * INTO clock FROM ledger_clock FOR UPDATE;
    IF clock.horizon IS NULL OR pg_snapshot_xmin(pg_current_snapshot())::text::bigint < clock.horizon THEN
        RETURN NULL;
    END IF;
    LOOP
        SELECT * INTO last FROM ledger_seals ORDER BY number DESC LIMIT 1;
        SELECT t.recorded_at INTO boundary FROM ledger_transactions AS t
            WHERE t.recorded_at > coalesce(last.sealed_until, '-infinity') AND t.recorded_at <= clock.horizon_at
            ORDER BY t.recorded_at, t.id OFFSET most - 1 LIMIT 1;
        boundary := coalesce(boundary, clock.horizon_at);
        SELECT string_agg(int8send(t.id) || t.content_hash || convert_to(t.key, 'UTF8')
                          || int8send((extract(epoch FROM t.recorded_at) * 1000000)::bigint), '' ORDER BY t.recorded_at, t.id),
               count(*)
            INTO leaves, found_transactions FROM ledger_transactions AS t
            WHERE t.recorded_at > coalesce(last.sealed_until, '-infinity') AND t.recorded_at <= boundary;
        EXIT WHEN found_transactions = 0;
        INSERT INTO ledger_seals (number, sealed_until, transactions, hash)
            VALUES (coalesce(last.number, 0) + 1, boundary, found_transactions,
                    sha256(coalesce(last.hash, ''::bytea)
                           || int8send((extract(epoch FROM boundary) * 1000000)::bigint) || leaves));
        INSERT INTO ledger_snapshots (account_id, taken_at, balance)
            SELECT p.account_id, boundary, coalesce(
                    (SELECT s.balance FROM ledger_snapshots AS s WHERE s.account_id = p.account_id
                     ORDER BY s.taken_at DESC LIMIT 1), 0) + sum(p.amount)
                FROM ledger_postings AS p JOIN ledger_transactions AS t ON t.id = p.transaction_id
                JOIN ledger_accounts AS a ON a.id = p.account_id
                WHERE NOT a.is_constrained
                  AND t.recorded_at > coalesce(last.sealed_until, '-infinity') AND t.recorded_at <= boundary
                GROUP BY p.account_id;
        made := made + 1;
    END LOOP;
    RETURN made;
END $$
-- ;;
-- An account's balance at an instant, in base units: a few index reads, whatever its age. 'infinity' is now.
-- Inline on purpose (no SET, no SECURITY DEFINER): queries over many accounts are planned as one.
CREATE FUNCTION ledger_balance_at(account bigint, instant timestamptz) RETURNS numeric LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN a.is_constrained
        THEN coalesce((
            SELECT p.balance_after FROM ledger_postings AS p WHERE p.account_id = a.id AND p.recorded_at <= instant
            ORDER BY p.recorded_at DESC, p.transaction_id DESC LIMIT 1), 0)
        ELSE coalesce(s.balance, 0) + coalesce((
            SELECT sum(p.amount) FROM ledger_postings AS p
            WHERE p.account_id = a.id AND p.recorded_at > coalesce(s.taken_at, '-infinity') AND p.recorded_at <= instant
            ), 0)
        END
    FROM ledger_accounts AS a
    LEFT JOIN LATERAL (
        SELECT s.balance, s.taken_at FROM ledger_snapshots AS s WHERE s.account_id = a.id AND s.taken_at <= instant
        ORDER BY s.taken_at DESC LIMIT 1
    ) AS s ON NOT a.is_constrained
    WHERE a.id = account
$$
-- ;;
-- What a user has of an asset: free, locked, in all, and why it moved last.
CREATE VIEW wallet_balances AS
SELECT w.owner, w.asset_id, w.available, w.locked, w.available + w.locked AS total, w.moved_at,
       coalesce(t.reason, t.kind) AS last_reason
    FROM (
        SELECT a.owner, a.asset_id, max(a.moved_at) AS moved_at,
               coalesce(sum(a.balance) FILTER (WHERE a.purpose = 'available'), 0) AS available,
               coalesce(sum(a.balance) FILTER (WHERE a.purpose <> 'available'), 0) AS locked
            FROM ledger_accounts AS a WHERE a.owner IS NOT NULL GROUP BY a.owner, a.asset_id
    ) AS w
    LEFT JOIN LATERAL (
        SELECT l.transaction_id
            FROM ledger_accounts AS a
            CROSS JOIN LATERAL (
                SELECT p.recorded_at, p.transaction_id FROM ledger_postings AS p WHERE p.account_id = a.id
                ORDER BY p.recorded_at DESC, p.transaction_id DESC LIMIT 1
            ) AS l
            WHERE a.owner = w.owner AND a.asset_id = w.asset_id
            ORDER BY l.recorded_at DESC, l.transaction_id DESC LIMIT 1
    ) AS newest ON true
    LEFT JOIN ledger_transactions AS t ON t.id = newest.transaction_id
-- ;;
-- One line per transaction and user's asset: what it did to the free and to the locked balance, and why.
CREATE VIEW balance_history AS
SELECT a.owner, a.asset_id, p.recorded_at, p.transaction_id, t.key, t.kind, ledger_operation(t.kind) AS operation,
       t.reference, t.reason,
       w.available_after - w.available_moved AS available_before, w.available_after,
       w.locked_after - w.locked_moved AS locked_before, w.locked_after
    FROM ledger_postings AS p
    JOIN ledger_accounts AS a ON a.id = p.account_id AND a.owner IS NOT NULL
    JOIN ledger_transactions AS t ON t.id = p.transaction_id
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(l.balance_after) FILTER (WHERE b.purpose = 'available'), 0) AS available_after,
               coalesce(sum(l.balance_after) FILTER (WHERE b.purpose <> 'available'), 0) AS locked_after,
               coalesce(sum(l.amount) FILTER (WHERE b.purpose = 'available' AND l.now), 0) AS available_moved,
               coalesce(sum(l.amount) FILTER (WHERE b.purpose <> 'available' AND l.now), 0) AS locked_moved
            FROM ledger_accounts AS b
            CROSS JOIN LATERAL (
                SELECT q.balance_after, q.amount, q.transaction_id = p.transaction_id AS now FROM ledger_postings AS q
                WHERE q.account_id = b.id
                  AND (q.recorded_at, q.transaction_id) <= (p.recorded_at, p.transaction_id)
                ORDER BY q.recorded_at DESC, q.transaction_id DESC LIMIT 1
            ) AS l
            WHERE b.owner = a.owner AND b.asset_id = a.asset_id
    ) AS w
    WHERE NOT EXISTS (
        SELECT FROM ledger_postings AS q JOIN ledger_accounts AS b ON b.id = q.account_id
        WHERE q.transaction_id = p.transaction_id AND b.owner = a.owner AND b.asset_id = a.asset_id AND b.id < a.id)
-- ;;
-- Everything that must be in users' "held" accounts, and because of what; from the rows of those things themselves,
-- never from the ledger, so that one cannot excuse the other.
CREATE VIEW held_parts AS
SELECT t.user_id AS owner, t.asset_id, t.held_units AS units, 'trade' AS because, t.id AS reference, t.created_at AS since
    FROM instant_trades AS t WHERE t.held_units <> 0
UNION ALL
SELECT t.user_id, r.asset_id, r.amount_units, 'deposit_return', r.id, r.created_at
    FROM deposit_returns AS r JOIN instant_trades AS t ON t.id = r.trade_id
    WHERE r.status IN ('pending', 'needs_review')
UNION ALL
SELECT t.user_id, 'BRL', t.total_centavos, 'payout', t.id, o.decided_at
    FROM instant_trades AS t JOIN trade_outcomes AS o ON o.trade_id = t.id
    WHERE o.outcome = 'payout' AND o.voided_at IS NULL AND t.status <> 'completed'
UNION ALL
SELECT h.user_id, h.asset_id, h.amount_units - h.released_units - h.captured_units, 'hold', h.id, h.created_at
    FROM holds AS h WHERE h.ended_at IS NULL
-- ;;
CREATE FUNCTION hold_only_shrinks() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (OLD.id, OLD.user_id, OLD.asset_id, OLD.amount_units, OLD.reference, OLD.reason, OLD.created_at)
       IS DISTINCT FROM
       (NEW.id, NEW.user_id, NEW.asset_id, NEW.amount_units, NEW.reference, NEW.reason, NEW.created_at)
       OR NEW.released_units < OLD.released_units OR NEW.captured_units < OLD.captured_units OR OLD.ended_at IS NOT NULL
    THEN
        RAISE EXCEPTION 'a hold is released or captured, and nothing else about it changes' USING ERRCODE = 'LQ002';
    END IF;
    RETURN NEW;
END $$
-- ;;
CREATE TRIGGER holds_only_shrink BEFORE UPDATE ON holds FOR EACH ROW EXECUTE FUNCTION hold_only_shrinks()
-- ;;
CREATE TRIGGER holds_stay BEFORE DELETE OR TRUNCATE ON holds FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
-- ;;
-- The laws of trades, payouts and transfers find their tables in our schema, whatever a session calls by their names.
ALTER FUNCTION check_transition() SET search_path = public, pg_temp
-- ;;
ALTER FUNCTION outcome_guard_payout() SET search_path = public, pg_temp
-- ;;
ALTER FUNCTION outcome_guard_refund() SET search_path = public, pg_temp
-- ;;
ALTER FUNCTION outcome_guard_void() SET search_path = public, pg_temp
-- ;;
-- What the program's role may do. The ledger is read, and written through functions alone.
GRANT USAGE ON SCHEMA public TO liquida_runtime
-- ;;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO liquida_runtime
-- ;;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO liquida_runtime
-- ;;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO liquida_runtime
-- ;;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE ON SEQUENCES TO liquida_runtime
-- ;;
REVOKE INSERT, UPDATE, DELETE ON
    ledger_accounts, ledger_transactions, ledger_postings, ledger_seals, ledger_snapshots, ledger_clock,
    wallet_balances, balance_history, held_parts, transitions, alembic_version
    FROM liquida_runtime
-- ;;
REVOKE UPDATE, DELETE ON instant_trade_history FROM liquida_runtime
-- ;;
REVOKE DELETE ON holds, instant_trades, trade_outcomes, transfer_transactions, transfer_attempts, payouts FROM liquida_runtime
-- ;;
REVOKE EXECUTE ON FUNCTION
    ledger_post(text[], text[], text[], text[], int[], text[], text[], text[], numeric[]),
    ledger_announce_seal(), ledger_mark_horizon(), ledger_seal(int)
    FROM PUBLIC
-- ;;
GRANT EXECUTE ON FUNCTION
    ledger_post(text[], text[], text[], text[], int[], text[], text[], text[], numeric[]),
    ledger_announce_seal(), ledger_mark_horizon(), ledger_seal(int)
    TO liquida_runtime
