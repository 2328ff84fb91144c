-- Withdrawals of reais. Statements are split at the lines of two semicolons.

CREATE TRIGGER pix_withdrawals_follow_the_table BEFORE UPDATE OF status ON pix_withdrawals
    FOR EACH ROW EXECUTE FUNCTION check_transition('pix_withdrawal')
-- ;;
-- Rule 1. What was ordered is paid as it was ordered.
CREATE TRIGGER pix_withdrawals_keep_their_order BEFORE UPDATE ON pix_withdrawals
    FOR EACH ROW WHEN (
        (OLD.id, OLD.user_id, OLD.bank_data_id, OLD.amount_centavos, OLD.provider, OLD.deadline_at, OLD.created_at)
        IS DISTINCT FROM
        (NEW.id, NEW.user_id, NEW.bank_data_id, NEW.amount_centavos, NEW.provider, NEW.deadline_at, NEW.created_at)
    ) EXECUTE FUNCTION refuse_other_order()
-- ;;
CREATE TRIGGER pix_withdrawals_stay BEFORE DELETE OR TRUNCATE ON pix_withdrawals
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
-- ;;
CREATE TRIGGER pix_withdrawal_history_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON pix_withdrawal_history
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
-- ;;
DROP TRIGGER payouts_keep_their_order ON payouts
-- ;;
CREATE TRIGGER payouts_keep_their_order BEFORE UPDATE ON payouts
    FOR EACH ROW WHEN (
        (OLD.key, OLD.trade_id, OLD.withdrawal_id, OLD.provider, OLD.amount_centavos, OLD.bank_data_id) IS DISTINCT FROM
        (NEW.key, NEW.trade_id, NEW.withdrawal_id, NEW.provider, NEW.amount_centavos, NEW.bank_data_id)
    ) EXECUTE FUNCTION refuse_other_order()
-- ;;
-- Rule 3. A payout exists only under a live 'payout' outcome of its trade, or for a withdrawal that waits for it and says
-- the same; and a withdrawal ends only as its payout did.
DROP TRIGGER payouts_need_an_outcome ON payouts
-- ;;
CREATE TRIGGER payouts_need_an_outcome BEFORE INSERT ON payouts
    FOR EACH ROW WHEN (NEW.withdrawal_id IS NULL) EXECUTE FUNCTION outcome_guard_payout()
-- ;;
CREATE FUNCTION withdrawal_guard_payout() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM FROM pix_withdrawals AS w
        WHERE w.id = NEW.withdrawal_id AND w.status = 'paying_out' AND NEW.key = w.id
          AND (NEW.provider, NEW.amount_centavos, NEW.bank_data_id) = (w.provider, w.amount_centavos, w.bank_data_id)
        FOR SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no withdrawal % waits for this payout', NEW.withdrawal_id USING ERRCODE = 'LQ005';
    END IF;
    RETURN NEW;
END $$
-- ;;
CREATE TRIGGER payouts_need_a_withdrawal BEFORE INSERT ON payouts
    FOR EACH ROW WHEN (NEW.withdrawal_id IS NOT NULL) EXECUTE FUNCTION withdrawal_guard_payout()
-- ;;
CREATE FUNCTION withdrawal_guard_end() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    fate text;
BEGIN
    IF TG_OP = 'INSERT' THEN
        RAISE EXCEPTION 'a withdrawal begins by paying out' USING ERRCODE = 'LQ005';
    END IF;
    SELECT p.status INTO fate FROM payouts AS p WHERE p.withdrawal_id = NEW.id FOR SHARE;
    IF NOT coalesce(CASE
        WHEN NEW.status = 'completed' THEN fate IN ('paid', 'returned')
        WHEN OLD.status = 'completed' THEN fate = 'returned'
        ELSE fate = 'rejected'
    END, false) THEN
        RAISE EXCEPTION 'withdrawal % cannot be %: its payout is %', NEW.id, NEW.status, coalesce(fate, 'not there')
            USING ERRCODE = 'LQ005';
    END IF;
    RETURN NEW;
END $$
-- ;;
CREATE TRIGGER pix_withdrawals_begin_paying_out BEFORE INSERT ON pix_withdrawals
    FOR EACH ROW WHEN (NEW.status <> 'paying_out') EXECUTE FUNCTION withdrawal_guard_end()
-- ;;
CREATE TRIGGER pix_withdrawals_end_as_their_payout BEFORE UPDATE OF status ON pix_withdrawals
    FOR EACH ROW WHEN (NEW.status IN ('completed', 'refunded') AND NEW.status <> OLD.status)
    EXECUTE FUNCTION withdrawal_guard_end()
-- ;;
-- A withdrawal's hold goes back to its user, and reais that came back become theirs, only where its row says so.
CREATE FUNCTION withdrawal_guard_release() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM pix_withdrawals AS w WHERE w.id = NEW.reference AND w.status <> 'refunded') THEN
        RAISE EXCEPTION 'withdrawal % is not refunded', NEW.reference USING ERRCODE = 'LQ005';
    END IF;
    RETURN NEW;
END $$
-- ;;
CREATE TRIGGER ledger_transactions_release_no_withdrawal BEFORE INSERT ON ledger_transactions
    FOR EACH ROW WHEN (NEW.kind IN ('release', 'payout_return')) EXECUTE FUNCTION withdrawal_guard_release()
-- ;;
CREATE OR REPLACE VIEW held_parts AS
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
UNION ALL
SELECT r.user_id, 'BRL', r.amount_centavos, 'receipt', r.id, r.created_at
    FROM pix_receipts AS r JOIN charges AS c ON c.key = r.charge_key
    WHERE r.status = 'credited' AND c.trade_id IS NOT NULL
      AND NOT EXISTS (SELECT FROM trade_outcomes AS o WHERE o.trade_id = c.trade_id AND o.voided_at IS NULL)
UNION ALL
SELECT w.user_id, 'BRL', w.amount_centavos, 'withdrawal', w.id, w.created_at
    FROM pix_withdrawals AS w WHERE w.status IN ('paying_out', 'needs_review')
-- ;;
CREATE OR REPLACE VIEW bank_movement_sources AS
SELECT p.trade_id::text AS reference, p.trade_id || '/payout' AS ledger_key, p.provider::text AS provider,
       p.key::text AS key, p.end_to_end_id::text AS end_to_end_id
    FROM payouts AS p
UNION ALL
SELECT p.trade_id, p.trade_id || '/payout-return', p.provider, p.key, p.end_to_end_id
    FROM payouts AS p
UNION ALL
SELECT coalesce(c.trade_id, c.key), 'receipt/' || r.id || '/' || step, r.provider, c.key,
       CASE step WHEN 'take-back' THEN NULL ELSE r.end_to_end_id END
    FROM pix_receipts AS r JOIN charges AS c ON c.key = r.charge_key
    CROSS JOIN unnest(ARRAY['block', 'receive', 'take-back']) AS step
UNION ALL
SELECT coalesce(c.trade_id, c.key), 'receipt/' || r.id || '/refund', r.provider, f.key, f.return_id
    FROM pix_receipts AS r JOIN charges AS c ON c.key = r.charge_key
    JOIN pix_refunds AS f ON f.receipt_id = r.id AND f.status = 'refunded'
UNION ALL
SELECT p.withdrawal_id, p.withdrawal_id || '/payout', p.provider, p.key, p.end_to_end_id
    FROM payouts AS p
UNION ALL
SELECT p.withdrawal_id, p.withdrawal_id || '/payout-return', p.provider, p.key, p.end_to_end_id
    FROM payouts AS p
-- ;;
REVOKE DELETE ON pix_withdrawals FROM liquida_runtime
-- ;;
REVOKE UPDATE, DELETE ON pix_withdrawal_history FROM liquida_runtime
