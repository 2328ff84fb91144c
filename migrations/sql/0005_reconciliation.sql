-- Reconciliation with the banks. Statements are split at the lines of two semicolons.
--
-- Which ledger transactions mean a movement at a bank account, by which name the provider knows it: one SELECT for each
-- source. A new source is one more UNION ALL here (CREATE OR REPLACE VIEW: all columns are text), and nothing else.
-- "reference" is the ledger transaction's, so that PostgreSQL finds the source of a transaction, and the transaction of a
-- source, by an index each; the columns that a source gives as reference, key and end_to_end_id should have one.
CREATE VIEW bank_movement_sources AS
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
-- ;;
-- What our books say happened at the bank accounts: a row for each transaction that changes what is there, from the
-- bank's side. What we own is negative in the ledger, so money that came in is minus the postings. A block moves
-- nothing: the reais are at the bank before and after. Without a source: provider is null.
CREATE VIEW bank_movements AS
SELECT s.provider, s.key, s.end_to_end_id, -p.amount AS amount_centavos, p.recorded_at, t.key AS ledger_key,
       t.reference
    FROM ledger_accounts AS a
    JOIN ledger_postings AS p ON p.account_id = a.id
    JOIN ledger_transactions AS t ON t.id = p.transaction_id
    LEFT JOIN bank_movement_sources AS s ON s.reference = t.reference AND s.ledger_key = t.key
    WHERE a.purpose IN ('pix_clearing', 'pix_blocked') AND a.owner IS NULL AND NOT EXISTS (
        SELECT FROM ledger_postings AS q JOIN ledger_accounts AS b ON b.id = q.account_id
        WHERE q.transaction_id = p.transaction_id AND q.amount = -p.amount AND b.id <> a.id AND b.owner IS NULL
          AND b.purpose IN ('pix_clearing', 'pix_blocked'))
-- ;;
-- What the bank said is kept as it said it.
CREATE FUNCTION bank_line_stays() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF (OLD.id, OLD.provider, OLD.line_id, OLD.key, OLD.end_to_end_id, OLD.amount_centavos, OLD.time, OLD.first_seen_at)
       IS DISTINCT FROM
       (NEW.id, NEW.provider, NEW.line_id, NEW.key, NEW.end_to_end_id, NEW.amount_centavos, NEW.time, NEW.first_seen_at)
    THEN
        RAISE EXCEPTION 'what a bank said does not change' USING ERRCODE = 'LQ002';
    END IF;
    RETURN NEW;
END $$
-- ;;
CREATE TRIGGER bank_lines_keep_their_content BEFORE UPDATE ON bank_lines
    FOR EACH ROW EXECUTE FUNCTION bank_line_stays()
-- ;;
CREATE TRIGGER bank_lines_stay BEFORE DELETE OR TRUNCATE ON bank_lines
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
-- ;;
CREATE TRIGGER reconciliations_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON reconciliations
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
-- ;;
CREATE TRIGGER breaks_follow_the_table BEFORE UPDATE OF status ON breaks
    FOR EACH ROW EXECUTE FUNCTION check_transition('break')
-- ;;
CREATE FUNCTION break_stays_about_one_thing() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF (OLD.id, OLD.provider, OLD.class, OLD.line_id, OLD.ledger_key, OLD.bank_centavos, OLD.ledger_centavos, OLD.first_seen_at)
       IS DISTINCT FROM
       (NEW.id, NEW.provider, NEW.class, NEW.line_id, NEW.ledger_key, NEW.bank_centavos, NEW.ledger_centavos, NEW.first_seen_at)
       OR (OLD.status = 'resolved' AND (OLD.owner_id, OLD.resolution, OLD.evidence)
           IS DISTINCT FROM (NEW.owner_id, NEW.resolution, NEW.evidence))
    THEN
        RAISE EXCEPTION 'what a break is about does not change' USING ERRCODE = 'LQ002';
    END IF;
    RETURN NEW;
END $$
-- ;;
CREATE TRIGGER breaks_keep_their_subject BEFORE UPDATE ON breaks
    FOR EACH ROW EXECUTE FUNCTION break_stays_about_one_thing()
-- ;;
CREATE TRIGGER breaks_stay BEFORE DELETE OR TRUNCATE ON breaks
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
-- ;;
CREATE TRIGGER break_history_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON break_history
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
-- ;;
REVOKE INSERT, UPDATE, DELETE ON bank_movements, bank_movement_sources FROM liquida_runtime
-- ;;
REVOKE UPDATE, DELETE ON reconciliations, break_history FROM liquida_runtime
-- ;;
REVOKE DELETE ON bank_lines, breaks FROM liquida_runtime
