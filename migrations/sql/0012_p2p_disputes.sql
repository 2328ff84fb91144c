-- Chats, files and disputes of P2P trades, and what their ends say of users. Statements are split at the lines of two semicolons.

CREATE TRIGGER p2p_messages_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON p2p_messages
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
-- ;;
CREATE TRIGGER p2p_files_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON p2p_files
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
-- ;;
-- What is sealed does not compress.
ALTER TABLE p2p_files ALTER COLUMN body_sealed SET STORAGE EXTERNAL
-- ;;
CREATE TRIGGER p2p_disputes_follow_the_table BEFORE UPDATE OF status ON p2p_disputes
    FOR EACH ROW EXECUTE FUNCTION check_transition('p2p_dispute')
-- ;;
CREATE TRIGGER p2p_disputes_keep_their_subject BEFORE UPDATE ON p2p_disputes
    FOR EACH ROW WHEN (
        (OLD.id, OLD.trade_id, OLD.opened_by, OLD.reason, OLD.created_at)
        IS DISTINCT FROM (NEW.id, NEW.trade_id, NEW.opened_by, NEW.reason, NEW.created_at)
    ) EXECUTE FUNCTION refuse_other_order()
-- ;;
CREATE TRIGGER p2p_disputes_keep_their_end BEFORE UPDATE ON p2p_disputes
    FOR EACH ROW WHEN (
        OLD.ended_at IS NOT NULL AND
        (OLD.status, OLD.round, OLD.ruling_id, OLD.buyer_bps, OLD.ended_at)
        IS DISTINCT FROM (NEW.status, NEW.round, NEW.ruling_id, NEW.buyer_bps, NEW.ended_at)
    ) EXECUTE FUNCTION refuse_other_order()
-- ;;
-- One appeal: a round never goes back, nor does the name of who appealed.
CREATE TRIGGER p2p_disputes_keep_their_appeal BEFORE UPDATE ON p2p_disputes
    FOR EACH ROW WHEN (
        OLD.round = 2 AND (OLD.round, OLD.appealed_by) IS DISTINCT FROM (NEW.round, NEW.appealed_by)
    ) EXECUTE FUNCTION refuse_other_order()
-- ;;
-- A ruling is carried out, and shown to the two, only if it is this dispute's, of this round, and holds good: alone where
-- one arbiter may, else approved by a second.
CREATE FUNCTION p2p_dispute_guard_ruling() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM FROM p2p_dispute_rulings AS r
        WHERE r.id = NEW.ruling_id AND r.dispute_id = NEW.id AND r.round = NEW.round AND r.fate IN ('alone', 'approved')
          AND (NEW.status <> 'closed' OR r.buyer_bps = NEW.buyer_bps) FOR SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'dispute % is not ruled so', NEW.id USING ERRCODE = 'LQ005';
    END IF;
    RETURN NEW;
END $$
-- ;;
CREATE TRIGGER p2p_disputes_are_ruled_by_good_rulings BEFORE UPDATE OF status ON p2p_disputes
    FOR EACH ROW WHEN (NEW.status IN ('ruled', 'closed') AND NEW.status <> OLD.status)
    EXECUTE FUNCTION p2p_dispute_guard_ruling()
-- ;;
-- Nobody rules on, or approves the ruling of, a trade of their own.
CREATE FUNCTION p2p_ruling_guard_arbiters() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM FROM p2p_disputes AS d JOIN p2p_trades AS t ON t.id = d.trade_id
        WHERE d.id = NEW.dispute_id
          AND (NEW.proposed_by IN (t.buyer_id, t.seller_id) OR NEW.decided_by IN (t.buyer_id, t.seller_id));
    IF FOUND THEN
        RAISE EXCEPTION 'ruling % is by a party', NEW.id USING ERRCODE = 'LQ005';
    END IF;
    RETURN NEW;
END $$
-- ;;
CREATE TRIGGER p2p_dispute_rulings_are_by_outsiders BEFORE INSERT OR UPDATE ON p2p_dispute_rulings
    FOR EACH ROW EXECUTE FUNCTION p2p_ruling_guard_arbiters()
-- ;;
CREATE TRIGGER p2p_dispute_rulings_stay_as_proposed BEFORE UPDATE ON p2p_dispute_rulings
    FOR EACH ROW WHEN (
        OLD.fate IS NOT NULL OR
        (OLD.id, OLD.dispute_id, OLD.round, OLD.buyer_bps, OLD.reason, OLD.text_sealed, OLD.proposed_by, OLD.needs_second,
         OLD.at)
        IS DISTINCT FROM
        (NEW.id, NEW.dispute_id, NEW.round, NEW.buyer_bps, NEW.reason, NEW.text_sealed, NEW.proposed_by, NEW.needs_second,
         NEW.at)
    ) EXECUTE FUNCTION refuse_other_order()
-- ;;
CREATE TRIGGER p2p_disputes_stay BEFORE DELETE OR TRUNCATE ON p2p_disputes
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
-- ;;
CREATE TRIGGER p2p_dispute_rulings_stay BEFORE DELETE OR TRUNCATE ON p2p_dispute_rulings
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
-- ;;
CREATE TRIGGER p2p_dispute_statements_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON p2p_dispute_statements
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
-- ;;
CREATE TRIGGER p2p_dispute_offers_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON p2p_dispute_offers
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
-- ;;
CREATE TRIGGER p2p_dispute_history_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON p2p_dispute_history
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
-- ;;
-- Each side of each trade that has ended, and what that says of the user. The two halves are written out, so that a
-- question about one user reads the indexes of sellers and of buyers.
--   is_lost: the last ruling that held good gave the other side more, and so did the end, whoever brought it about: who
--   gives in to a ruling has lost as much as who waits for it.
--   is_unpaid: as the buyer, let it expire though there was something to pay, gave it up, or was ruled not to have paid.
--   release_seconds: of a sale that nobody disputed, from the buyer's word to the release; no person releases a charge.
CREATE VIEW p2p_results AS
SELECT p.seller_id AS user_id, p.id AS trade_id, p.total_centavos, p.ended_at, p.status = 'completed' AS is_completed,
       p.status IN ('completed', 'split') AND coalesce(p.buyer_bps, 10000) > 5000 AND coalesce((
           SELECT r.buyer_bps > 5000 FROM p2p_disputes AS d JOIN p2p_dispute_rulings AS r ON r.dispute_id = d.id
           WHERE d.trade_id = p.id AND r.fate IN ('alone', 'approved') ORDER BY r.version DESC LIMIT 1), false) AS is_lost,
       false AS is_unpaid,
       false AS is_taken_purchase,
       CASE WHEN p.status = 'completed' AND p.settlement <> 'charge' AND NOT EXISTS (
           SELECT FROM p2p_trade_history AS h WHERE h.trade_id = p.id AND h.old_status = 'disputed')
       THEN floor(extract(epoch FROM p.ended_at - p.paid_at))::int END AS release_seconds
    FROM p2p_trades AS p WHERE p.ended_at IS NOT NULL
UNION ALL
SELECT p.buyer_id, p.id, p.total_centavos, p.ended_at, p.status = 'completed',
       p.status IN ('refunded', 'split') AND coalesce(p.buyer_bps, 0) < 5000 AND coalesce((
           SELECT r.buyer_bps < 5000 FROM p2p_disputes AS d JOIN p2p_dispute_rulings AS r ON r.dispute_id = d.id
           WHERE d.trade_id = p.id AND r.fate IN ('alone', 'approved') ORDER BY r.version DESC LIMIT 1), false),
       (p.status = 'expired' AND NOT EXISTS (SELECT FROM charges AS c WHERE c.key = p.id AND c.status <> 'active'))
           OR (p.status IN ('cancelled', 'refunded') AND EXISTS (
               SELECT FROM p2p_trade_history AS h
               WHERE h.trade_id = p.id AND h.new_status = p.status
                 AND (h.actor = p.buyer_id OR starts_with(h.reason, 'ruled_')))),
       p.maker_id <> p.buyer_id,
       NULL
    FROM p2p_trades AS p WHERE p.ended_at IS NOT NULL
-- ;;
REVOKE DELETE ON p2p_disputes, p2p_dispute_rulings FROM liquida_runtime
-- ;;
REVOKE UPDATE, DELETE ON p2p_messages, p2p_files, p2p_dispute_statements, p2p_dispute_offers, p2p_dispute_history
    FROM liquida_runtime
-- ;;
REVOKE INSERT, UPDATE, DELETE ON p2p_results FROM liquida_runtime
