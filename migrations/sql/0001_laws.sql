-- The laws that hold whatever the program does. Statements are split at the lines of two semicolons.

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'LQ002';
END $$
-- ;;
CREATE TRIGGER ledger_transactions_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_transactions
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
-- ;;
CREATE TRIGGER ledger_postings_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_postings
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
-- ;;
CREATE TRIGGER instant_trade_history_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON instant_trade_history
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
-- ;;
-- A constrained account's balance moves only here; the row's CHECK refuses to go below zero.
CREATE FUNCTION ledger_carry_balance() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE ledger_accounts SET balance = balance + NEW.amount
        WHERE id = NEW.account_id AND is_constrained RETURNING balance INTO NEW.balance_after;
    RETURN NEW;
END $$
-- ;;
CREATE TRIGGER ledger_postings_carry_balance BEFORE INSERT ON ledger_postings
    FOR EACH ROW EXECUTE FUNCTION ledger_carry_balance()
-- ;;
CREATE FUNCTION ledger_refuse_other_changes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.balance <> 0 THEN
            RAISE EXCEPTION 'an account begins with nothing' USING ERRCODE = 'LQ002';
        END IF;
    ELSIF pg_trigger_depth() < 2 THEN
        RAISE EXCEPTION 'balances move by postings only' USING ERRCODE = 'LQ002';
    END IF;
    RETURN NEW;
END $$
-- ;;
CREATE TRIGGER ledger_accounts_move_by_postings BEFORE INSERT OR UPDATE OR DELETE ON ledger_accounts
    FOR EACH ROW EXECUTE FUNCTION ledger_refuse_other_changes()
-- ;;
-- Postings are written in the moment of their transaction, all of which is summed.
CREATE FUNCTION ledger_check_zero_sum() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM added JOIN ledger_transactions AS t ON t.id = added.transaction_id
        WHERE t.recorded_at <> transaction_timestamp()
    ) THEN
        RAISE EXCEPTION 'a recorded transaction is append-only' USING ERRCODE = 'LQ002';
    END IF;
    IF EXISTS (
        SELECT FROM (SELECT DISTINCT transaction_id FROM added) AS touched
        JOIN ledger_postings AS p USING (transaction_id)
        JOIN ledger_accounts AS a ON a.id = p.account_id
        GROUP BY p.transaction_id, a.asset_id HAVING sum(p.amount) <> 0
    ) THEN
        RAISE EXCEPTION 'ledger_postings_balance_to_zero' USING ERRCODE = 'LQ003';
    END IF;
    RETURN NULL;
END $$
-- ;;
CREATE TRIGGER ledger_postings_balance_to_zero AFTER INSERT ON ledger_postings
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION ledger_check_zero_sum()
-- ;;
-- Posts a batch: one round trip. The owners are locked first, in order and with all their accounts, those yet to
-- be made included; so whoever posts again for the same owner in the same transaction never waits crosswise.
CREATE FUNCTION ledger_post(batch jsonb) RETURNS TABLE (key text, fresh boolean) LANGUAGE plpgsql AS $$
DECLARE
    entry jsonb;
    added bigint;
    known bytea;
BEGIN
    PERFORM FROM users AS u WHERE u.id IN (
            SELECT p->>'owner'
            FROM jsonb_array_elements(batch) AS t, jsonb_array_elements(t->'postings') AS p)
        ORDER BY u.id FOR NO KEY UPDATE;

    INSERT INTO ledger_accounts (owner, asset_id, purpose, is_constrained, balance)
        SELECT DISTINCT p->>'owner', p->>'asset', p->>'purpose', (p->>'constrained')::boolean,
               CASE WHEN (p->>'constrained')::boolean THEN 0 END
        FROM jsonb_array_elements(batch) AS t, jsonb_array_elements(t->'postings') AS p
        WHERE NOT EXISTS (
            SELECT FROM ledger_accounts AS a WHERE a.asset_id = p->>'asset' AND a.purpose = p->>'purpose'
            AND a.owner IS NOT DISTINCT FROM p->>'owner')
        ORDER BY 2, 3, 1
        ON CONFLICT DO NOTHING;

    FOR entry IN SELECT t FROM jsonb_array_elements(batch) WITH ORDINALITY AS e(t, n) ORDER BY n LOOP
        INSERT INTO ledger_transactions AS l (key, kind, reference, content_hash)
            VALUES (entry->>'key', entry->>'kind', entry->>'reference', decode(entry->>'hash', 'hex'))
            ON CONFLICT ON CONSTRAINT uq_ledger_transactions_key DO NOTHING RETURNING l.id INTO added;
        key := entry->>'key';
        fresh := added IS NOT NULL;
        IF fresh THEN
            INSERT INTO ledger_postings (transaction_id, account_id, amount)
                SELECT added, a.id, (p->>'amount')::numeric
                FROM jsonb_array_elements(entry->'postings') AS p
                JOIN ledger_accounts AS a ON a.asset_id = p->>'asset' AND a.purpose = p->>'purpose'
                    AND a.owner IS NOT DISTINCT FROM p->>'owner'
                ORDER BY a.id;
        ELSE
            SELECT l.content_hash INTO known FROM ledger_transactions AS l WHERE l.key = entry->>'key';
            IF known <> decode(entry->>'hash', 'hex') THEN
                RAISE EXCEPTION 'operation key % was posted with other content', entry->>'key'
                    USING ERRCODE = 'LQ001';
            END IF;
        END IF;
        RETURN NEXT;
    END LOOP;
END $$
-- ;;
CREATE FUNCTION check_transition() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.status <> OLD.status AND NOT EXISTS (
        SELECT FROM transitions AS t
        WHERE t.noun = TG_ARGV[0] AND t.before = OLD.status AND t.after = NEW.status
    ) THEN
        RAISE EXCEPTION '% cannot go from % to %', TG_ARGV[0], OLD.status, NEW.status USING ERRCODE = 'LQ004';
    END IF;
    RETURN NEW;
END $$
-- ;;
CREATE TRIGGER instant_trades_follow_the_table BEFORE UPDATE OF status ON instant_trades
    FOR EACH ROW EXECUTE FUNCTION check_transition('instant_trade')
-- ;;
CREATE TRIGGER transfer_transactions_follow_the_table BEFORE UPDATE OF status ON transfer_transactions
    FOR EACH ROW EXECUTE FUNCTION check_transition('transfer')
-- ;;
CREATE TRIGGER payouts_follow_the_table BEFORE UPDATE OF status ON payouts
    FOR EACH ROW EXECUTE FUNCTION check_transition('payout')
-- ;;
-- Rule 1. What was ordered is sent as it was ordered: an intent never changes, nor do its signed bytes.
CREATE FUNCTION refuse_other_order() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%: what was ordered does not change', TG_TABLE_NAME USING ERRCODE = 'LQ002';
END $$
-- ;;
CREATE TRIGGER transfer_transactions_keep_their_intent BEFORE UPDATE ON transfer_transactions
    FOR EACH ROW WHEN (
        (OLD.key, OLD.purpose, OLD.trade_id, OLD.parent_key, OLD.return_id, OLD.network_id, OLD.asset_id,
         OLD.from_address_id, OLD.to_address, OLD.amount_units, coalesce(OLD.nonce, NEW.nonce))
        IS DISTINCT FROM
        (NEW.key, NEW.purpose, NEW.trade_id, NEW.parent_key, NEW.return_id, NEW.network_id, NEW.asset_id,
         NEW.from_address_id, NEW.to_address, NEW.amount_units, NEW.nonce)
    ) EXECUTE FUNCTION refuse_other_order()
-- ;;
CREATE TRIGGER transfer_attempts_keep_their_bytes BEFORE UPDATE ON transfer_attempts
    FOR EACH ROW WHEN (
        (OLD.key, OLD.attempt, OLD.txid, OLD.raw, OLD.fee) IS DISTINCT FROM
        (NEW.key, NEW.attempt, NEW.txid, NEW.raw, NEW.fee)
    ) EXECUTE FUNCTION refuse_other_order()
-- ;;
CREATE TRIGGER payouts_keep_their_order BEFORE UPDATE ON payouts
    FOR EACH ROW WHEN (
        (OLD.key, OLD.trade_id, OLD.provider, OLD.amount_centavos, OLD.bank_data_id) IS DISTINCT FROM
        (NEW.key, NEW.trade_id, NEW.provider, NEW.amount_centavos, NEW.bank_data_id)
    ) EXECUTE FUNCTION refuse_other_order()
-- ;;
CREATE TRIGGER transfer_transactions_stay BEFORE DELETE OR TRUNCATE ON transfer_transactions
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
-- ;;
CREATE TRIGGER transfer_attempts_stay BEFORE DELETE OR TRUNCATE ON transfer_attempts
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
-- ;;
CREATE TRIGGER payouts_stay BEFORE DELETE OR TRUNCATE ON payouts
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
-- ;;
-- Rule 3. A payout exists only under a live 'payout' outcome, a refund only under a live 'refund' one, and a
-- 'payout' outcome ends only when its payout provably left no money outside.
CREATE FUNCTION outcome_guard_payout() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM trade_outcomes WHERE trade_id = NEW.trade_id AND outcome = 'payout' AND voided_at IS NULL FOR SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no live payout outcome for trade %', NEW.trade_id USING ERRCODE = 'LQ005';
    END IF;
    RETURN NEW;
END $$
-- ;;
CREATE TRIGGER payouts_need_an_outcome BEFORE INSERT ON payouts
    FOR EACH ROW EXECUTE FUNCTION outcome_guard_payout()
-- ;;
CREATE FUNCTION outcome_guard_refund() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM trade_outcomes WHERE trade_id = NEW.trade_id AND outcome = 'refund' AND voided_at IS NULL FOR SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no live refund outcome for trade %', NEW.trade_id USING ERRCODE = 'LQ005';
    END IF;
    RETURN NEW;
END $$
-- ;;
CREATE TRIGGER refunds_need_an_outcome BEFORE INSERT ON transfer_transactions
    FOR EACH ROW WHEN (NEW.purpose = 'refund') EXECUTE FUNCTION outcome_guard_refund()
-- ;;
CREATE FUNCTION outcome_guard_void() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.outcome <> 'payout' OR NEW.outcome <> OLD.outcome OR NEW.trade_id <> OLD.trade_id
       OR OLD.voided_at IS NOT NULL OR NEW.voided_at IS NULL THEN
        RAISE EXCEPTION 'an outcome is only ever voided, once, and only a payout' USING ERRCODE = 'LQ005';
    END IF;
    IF EXISTS (SELECT FROM payouts WHERE trade_id = OLD.trade_id AND status NOT IN ('rejected', 'returned')) THEN
        RAISE EXCEPTION 'the payout of trade % is neither rejected nor returned', OLD.trade_id USING ERRCODE = 'LQ005';
    END IF;
    RETURN NEW;
END $$
-- ;;
CREATE TRIGGER trade_outcomes_void_only BEFORE UPDATE ON trade_outcomes
    FOR EACH ROW EXECUTE FUNCTION outcome_guard_void()
-- ;;
CREATE TRIGGER trade_outcomes_stay BEFORE DELETE OR TRUNCATE ON trade_outcomes
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
-- ;;
CREATE SEQUENCE instant_trade_references
