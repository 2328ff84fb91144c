-- Reputations, reviews and block lists. Statements are split at the lines of two semicolons.

-- Each side of each trade that has ended, and what that says of the user. The two halves are written out, so that a
-- question about one user reads the indexes of sellers and of buyers.
--   is_unpaid: as the buyer, let it expire or cancelled it; is_lost: a ruling gave the other side more.
--   release_seconds: of a sale that nobody disputed, from the buyer's word to the release.
CREATE VIEW p2p_results AS
SELECT p.seller_id AS user_id, p.id AS trade_id, p.total_centavos, p.ended_at, p.status = 'completed' AS is_completed,
       p.status IN ('completed', 'split') AND coalesce(p.buyer_bps, 10000) > 5000 AND EXISTS (
           SELECT FROM p2p_trade_history AS h
           WHERE h.trade_id = p.id AND h.old_status = 'disputed' AND h.new_status = p.status
             AND starts_with(h.reason, 'ruled_')) AS is_lost,
       false AS is_unpaid,
       false AS is_taken_purchase,
       CASE WHEN p.status = 'completed' AND NOT EXISTS (
           SELECT FROM p2p_trade_history AS h WHERE h.trade_id = p.id AND h.old_status = 'disputed')
       THEN floor(extract(epoch FROM p.ended_at - p.paid_at))::int END AS release_seconds
    FROM p2p_trades AS p WHERE p.ended_at IS NOT NULL
UNION ALL
SELECT p.buyer_id, p.id, p.total_centavos, p.ended_at, p.status = 'completed',
       p.status IN ('refunded', 'split') AND coalesce(p.buyer_bps, 0) < 5000 AND EXISTS (
           SELECT FROM p2p_trade_history AS h
           WHERE h.trade_id = p.id AND h.old_status = 'disputed' AND h.new_status = p.status
             AND starts_with(h.reason, 'ruled_')),
       p.status = 'expired' OR (p.status = 'cancelled' AND EXISTS (
           SELECT FROM p2p_trade_history AS h
           WHERE h.trade_id = p.id AND h.new_status = 'cancelled' AND h.actor = p.buyer_id)),
       p.maker_id <> p.buyer_id,
       NULL
    FROM p2p_trades AS p WHERE p.ended_at IS NOT NULL
-- ;;
CREATE TRIGGER p2p_reviews_keep_what_was_said BEFORE UPDATE ON p2p_reviews
    FOR EACH ROW WHEN (
        (OLD.id, OLD.trade_id, OLD.author_id, OLD.subject_id, OLD.stars, OLD.comment, OLD.created_at,
         coalesce(OLD.reply, NEW.reply), coalesce(OLD.replied_at, NEW.replied_at))
        IS DISTINCT FROM
        (NEW.id, NEW.trade_id, NEW.author_id, NEW.subject_id, NEW.stars, NEW.comment, NEW.created_at,
         NEW.reply, NEW.replied_at)
    ) EXECUTE FUNCTION refuse_other_order()
-- ;;
CREATE TRIGGER p2p_reviews_stay BEFORE DELETE OR TRUNCATE ON p2p_reviews
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
-- ;;
REVOKE DELETE ON p2p_reviews FROM liquida_runtime
-- ;;
REVOKE UPDATE ON p2p_blocks FROM liquida_runtime
-- ;;
REVOKE INSERT, UPDATE, DELETE ON p2p_results FROM liquida_runtime
