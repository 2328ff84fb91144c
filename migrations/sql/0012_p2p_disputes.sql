-- Chats, files and disputes of P2P trades. Statements are split at the lines of two semicolons.

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
REVOKE DELETE ON p2p_disputes, p2p_dispute_rulings FROM liquida_runtime
-- ;;
REVOKE UPDATE, DELETE ON p2p_messages, p2p_files, p2p_dispute_statements, p2p_dispute_offers, p2p_dispute_history
    FROM liquida_runtime
