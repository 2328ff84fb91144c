-- PIX that comes in. Statements are split at the lines of two semicolons.

CREATE TRIGGER charges_follow_the_table BEFORE UPDATE OF status ON charges
    FOR EACH ROW EXECUTE FUNCTION check_transition('charge')
-- ;;
CREATE TRIGGER pix_receipts_follow_the_table BEFORE UPDATE OF status ON pix_receipts
    FOR EACH ROW EXECUTE FUNCTION check_transition('receipt')
-- ;;
CREATE TRIGGER pix_refunds_follow_the_table BEFORE UPDATE OF status ON pix_refunds
    FOR EACH ROW EXECUTE FUNCTION check_transition('pix_refund')
-- ;;
-- Rule 1. What was ordered is sent as it was ordered, and what came in is what came in.
CREATE TRIGGER charges_keep_their_order BEFORE UPDATE ON charges
    FOR EACH ROW WHEN (
        (OLD.key, OLD.user_id, OLD.trade_id, OLD.provider, OLD.amount_centavos, OLD.expires_at, OLD.accepts_until,
         OLD.watched_until, coalesce(OLD.window_seconds, NEW.window_seconds)) IS DISTINCT FROM
        (NEW.key, NEW.user_id, NEW.trade_id, NEW.provider, NEW.amount_centavos, NEW.expires_at, NEW.accepts_until,
         NEW.watched_until, NEW.window_seconds)
    ) EXECUTE FUNCTION refuse_other_order()
-- ;;
CREATE TRIGGER pix_receipts_keep_their_facts BEFORE UPDATE ON pix_receipts
    FOR EACH ROW WHEN (
        (OLD.id, OLD.provider, OLD.end_to_end_id, OLD.charge_key, OLD.user_id,
         coalesce(nullif(OLD.amount_centavos, 0), NEW.amount_centavos), OLD.received_at,
         CASE OLD.payer WHEN 'unknown' THEN NEW.payer ELSE OLD.payer END) IS DISTINCT FROM
        (NEW.id, NEW.provider, NEW.end_to_end_id, NEW.charge_key, NEW.user_id, NEW.amount_centavos, NEW.received_at,
         NEW.payer)
    ) EXECUTE FUNCTION refuse_other_order()
-- ;;
CREATE TRIGGER pix_refunds_keep_their_order BEFORE UPDATE ON pix_refunds
    FOR EACH ROW WHEN (
        (OLD.key, OLD.receipt_id, OLD.amount_centavos) IS DISTINCT FROM (NEW.key, NEW.receipt_id, NEW.amount_centavos)
    ) EXECUTE FUNCTION refuse_other_order()
-- ;;
CREATE TRIGGER charges_stay BEFORE DELETE OR TRUNCATE ON charges FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
-- ;;
CREATE TRIGGER pix_receipts_stay BEFORE DELETE OR TRUNCATE ON pix_receipts
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
-- ;;
CREATE TRIGGER pix_refunds_stay BEFORE DELETE OR TRUNCATE ON pix_refunds
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
-- ;;
-- Rule 3. Coins are delivered only under a live 'delivery' outcome, which needs a payment that was credited; and such
-- a payment goes back only under a live 'refund' one. An outcome ends only when what it ordered provably did not happen.
CREATE FUNCTION outcome_guard_delivery() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM FROM trade_outcomes WHERE trade_id = NEW.trade_id AND outcome = 'delivery' AND voided_at IS NULL FOR SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no live delivery outcome for trade %', NEW.trade_id USING ERRCODE = 'LQ005';
    END IF;
    RETURN NEW;
END $$
-- ;;
CREATE TRIGGER deliveries_need_an_outcome BEFORE INSERT ON transfer_transactions
    FOR EACH ROW WHEN (NEW.purpose = 'delivery') EXECUTE FUNCTION outcome_guard_delivery()
-- ;;
CREATE FUNCTION outcome_guard_payment() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM FROM pix_receipts AS r JOIN charges AS c ON c.key = r.charge_key
        WHERE c.trade_id = NEW.trade_id AND r.status = 'credited' AND r.amount_centavos = c.amount_centavos FOR SHARE OF r;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'trade % was not paid for', NEW.trade_id USING ERRCODE = 'LQ005';
    END IF;
    RETURN NEW;
END $$
-- ;;
CREATE TRIGGER deliveries_need_a_payment BEFORE INSERT ON trade_outcomes
    FOR EACH ROW WHEN (NEW.outcome = 'delivery') EXECUTE FUNCTION outcome_guard_payment()
-- ;;
CREATE FUNCTION outcome_guard_uncredit() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM FROM trade_outcomes AS o JOIN charges AS c ON c.trade_id = o.trade_id
        WHERE c.key = NEW.charge_key AND o.outcome = 'refund' AND o.voided_at IS NULL FOR SHARE OF o;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'receipt % was credited, and nothing says that it goes back', NEW.id USING ERRCODE = 'LQ005';
    END IF;
    RETURN NEW;
END $$
-- ;;
CREATE TRIGGER credited_receipts_need_an_outcome BEFORE UPDATE OF status ON pix_receipts
    FOR EACH ROW WHEN (OLD.status = 'credited' AND NEW.status = 'refunding') EXECUTE FUNCTION outcome_guard_uncredit()
-- ;;
-- A devolução is of the whole of a receipt that is on its way back.
CREATE FUNCTION refund_guard_receipt() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM FROM pix_receipts AS r
        WHERE r.id = NEW.receipt_id AND r.status = 'refunding' AND r.amount_centavos = NEW.amount_centavos FOR SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'receipt % is not to be refunded with %', NEW.receipt_id, NEW.amount_centavos
            USING ERRCODE = 'LQ005';
    END IF;
    RETURN NEW;
END $$
-- ;;
CREATE TRIGGER pix_refunds_need_a_receipt BEFORE INSERT ON pix_refunds
    FOR EACH ROW EXECUTE FUNCTION refund_guard_receipt()
-- ;;
CREATE OR REPLACE FUNCTION outcome_guard_void() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF OLD.outcome NOT IN ('payout', 'delivery') OR NEW.outcome <> OLD.outcome OR NEW.trade_id <> OLD.trade_id
       OR OLD.voided_at IS NOT NULL OR NEW.voided_at IS NULL THEN
        RAISE EXCEPTION 'an outcome is only ever voided, once, and no refund' USING ERRCODE = 'LQ005';
    END IF;
    IF EXISTS (SELECT FROM payouts WHERE trade_id = OLD.trade_id AND status NOT IN ('rejected', 'returned')) THEN
        RAISE EXCEPTION 'the payout of trade % is neither rejected nor returned', OLD.trade_id USING ERRCODE = 'LQ005';
    END IF;
    IF EXISTS (SELECT FROM transfer_transactions WHERE trade_id = OLD.trade_id AND purpose = 'delivery'
               AND status NOT IN ('rejected', 'failed')) THEN
        RAISE EXCEPTION 'the delivery of trade % is neither rejected nor failed', OLD.trade_id USING ERRCODE = 'LQ005';
    END IF;
    RETURN NEW;
END $$
-- ;;
CREATE OR REPLACE FUNCTION ledger_operation(kind text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE kind
        WHEN 'adjustment' THEN 'adjustment'
        WHEN 'buy' THEN 'trade'
        WHEN 'credit' THEN 'refund'
        WHEN 'delivery' THEN 'withdrawal'
        WHEN 'deposit' THEN 'deposit'
        WHEN 'funding' THEN 'adjustment'
        WHEN 'hold' THEN 'freeze'
        WHEN 'network_fee' THEN 'fee'
        WHEN 'payout' THEN 'withdrawal'
        WHEN 'payout_return' THEN 'refund'
        WHEN 'receipt' THEN 'deposit'
        WHEN 'receipt_return' THEN 'refund'
        WHEN 'refund' THEN 'refund'
        WHEN 'release' THEN 'unfreeze'
        WHEN 'sell' THEN 'trade'
        WHEN 'transfer' THEN 'transfer'
        WHEN 'unbuy' THEN 'trade'
        WHEN 'unsell' THEN 'trade'
        WHEN 'withdrawal' THEN 'withdrawal'
    END
$$
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
-- ;;
REVOKE DELETE ON charges, pix_receipts, pix_refunds FROM liquida_runtime
