-- Disputes (MED). Statements are split at the lines of two semicolons.

CREATE TRIGGER pix_disputes_follow_the_table BEFORE UPDATE OF status ON pix_disputes
    FOR EACH ROW EXECUTE FUNCTION check_transition('dispute')
-- ;;
CREATE TRIGGER pix_disputes_keep_their_subject BEFORE UPDATE ON pix_disputes
    FOR EACH ROW WHEN (
        (OLD.id, OLD.provider, OLD.dispute_id, OLD.receipt_id, OLD.amount_centavos, OLD.created_at)
        IS DISTINCT FROM
        (NEW.id, NEW.provider, NEW.dispute_id, NEW.receipt_id, NEW.amount_centavos, NEW.created_at)
    ) EXECUTE FUNCTION refuse_other_order()
-- ;;
-- What was set aside, and by its end taken, stays said; so does a defence, unless the provider refused it.
CREATE TRIGGER pix_disputes_keep_their_end BEFORE UPDATE ON pix_disputes
    FOR EACH ROW WHEN (
        OLD.status <> 'open' AND
        (OLD.cover, OLD.covered_centavos, OLD.from_user_centavos, OLD.from_house_centavos, OLD.taken_centavos)
        IS DISTINCT FROM
        (NEW.cover, NEW.covered_centavos, NEW.from_user_centavos, NEW.from_house_centavos, NEW.taken_centavos)
    ) EXECUTE FUNCTION refuse_other_order()
-- ;;
CREATE TRIGGER pix_disputes_keep_their_reserve BEFORE UPDATE ON pix_disputes
    FOR EACH ROW WHEN (
        OLD.cover = 'reserve' AND
        (OLD.cover, OLD.covered_centavos, OLD.from_user_centavos, OLD.from_house_centavos)
        IS DISTINCT FROM (NEW.cover, NEW.covered_centavos, NEW.from_user_centavos, NEW.from_house_centavos)
    ) EXECUTE FUNCTION refuse_other_order()
-- ;;
CREATE TRIGGER pix_disputes_keep_their_defence BEFORE UPDATE ON pix_disputes
    FOR EACH ROW WHEN (
        OLD.defence_at IS NOT NULL AND OLD.defence_refusal IS NULL AND
        (OLD.defence_sealed, OLD.defence_at, OLD.defence_by, OLD.defence_evidence,
         coalesce(OLD.defended_at, NEW.defended_at))
        IS DISTINCT FROM
        (NEW.defence_sealed, NEW.defence_at, NEW.defence_by, NEW.defence_evidence, NEW.defended_at)
    ) EXECUTE FUNCTION refuse_other_order()
-- ;;
CREATE TRIGGER pix_disputes_stay BEFORE DELETE OR TRUNCATE ON pix_disputes
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
-- ;;
CREATE TRIGGER pix_dispute_history_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON pix_dispute_history
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
-- ;;
CREATE TRIGGER pix_receipts_stay_taken_back BEFORE UPDATE OF taken_back_centavos ON pix_receipts
    FOR EACH ROW WHEN (NEW.taken_back_centavos < OLD.taken_back_centavos) EXECUTE FUNCTION refuse_other_order()
-- ;;
-- A devolução is of all that is left of a receipt that is on its way back.
CREATE OR REPLACE FUNCTION refund_guard_receipt() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM FROM pix_receipts AS r
        WHERE r.id = NEW.receipt_id AND r.status = 'refunding'
          AND r.amount_centavos - r.taken_back_centavos = NEW.amount_centavos FOR SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'receipt % is not to be refunded with %', NEW.receipt_id, NEW.amount_centavos
            USING ERRCODE = 'LQ005';
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
        WHEN 'dispute' THEN 'dispute'
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
-- A lost dispute is a take-back: the bank shows it with the charge's key and an identity of its own.
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
SELECT coalesce(c.trade_id, c.key)::text, 'dispute/' || d.id || '/lost', d.provider, c.key, NULL
    FROM pix_disputes AS d JOIN pix_receipts AS r ON r.id = d.receipt_id JOIN charges AS c ON c.key = r.charge_key
    WHERE d.taken_centavos > 0
UNION ALL
SELECT p.withdrawal_id, p.withdrawal_id || '/payout', p.provider, p.key, p.end_to_end_id
    FROM payouts AS p
UNION ALL
SELECT p.withdrawal_id, p.withdrawal_id || '/payout-return', p.provider, p.key, p.end_to_end_id
    FROM payouts AS p
-- ;;
REVOKE DELETE ON pix_disputes FROM liquida_runtime
-- ;;
REVOKE UPDATE, DELETE ON pix_dispute_history FROM liquida_runtime
