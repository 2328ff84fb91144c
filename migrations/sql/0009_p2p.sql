-- The P2P marketplace. Statements are split at the lines of two semicolons.

CREATE TRIGGER p2p_orders_follow_the_table BEFORE UPDATE OF status ON p2p_orders
    FOR EACH ROW EXECUTE FUNCTION check_transition('p2p_order')
-- ;;
CREATE TRIGGER p2p_orders_keep_their_subject BEFORE UPDATE ON p2p_orders
    FOR EACH ROW WHEN (
        (OLD.id, OLD.user_id, OLD.side, OLD.asset_id, OLD.created_at)
        IS DISTINCT FROM (NEW.id, NEW.user_id, NEW.side, NEW.asset_id, NEW.created_at)
    ) EXECUTE FUNCTION refuse_other_order()
-- ;;
CREATE TRIGGER p2p_orders_stay BEFORE DELETE OR TRUNCATE ON p2p_orders
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
-- ;;
CREATE TRIGGER payment_methods_stay BEFORE DELETE OR TRUNCATE ON payment_methods
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
-- ;;
CREATE SEQUENCE p2p_trade_references
-- ;;
CREATE TRIGGER p2p_trades_follow_the_table BEFORE UPDATE OF status ON p2p_trades
    FOR EACH ROW EXECUTE FUNCTION check_transition('p2p_trade')
-- ;;
CREATE TRIGGER p2p_trades_keep_what_was_agreed BEFORE UPDATE ON p2p_trades
    FOR EACH ROW WHEN (
        (OLD.id, OLD.reference, OLD.order_id, OLD.terms_version, OLD.maker_id, OLD.seller_id, OLD.buyer_id, OLD.asset_id,
         OLD.units, OLD.price, OLD.total_centavos, OLD.fee_bps, OLD.fee_units, OLD.fee_payer, OLD.settlement,
         OLD.method_id, OLD.window_seconds, OLD.confirm_seconds, OLD.created_at)
        IS DISTINCT FROM
        (NEW.id, NEW.reference, NEW.order_id, NEW.terms_version, NEW.maker_id, NEW.seller_id, NEW.buyer_id, NEW.asset_id,
         NEW.units, NEW.price, NEW.total_centavos, NEW.fee_bps, NEW.fee_units, NEW.fee_payer, NEW.settlement,
         NEW.method_id, NEW.window_seconds, NEW.confirm_seconds, NEW.created_at)
    ) EXECUTE FUNCTION refuse_other_order()
-- ;;
CREATE TRIGGER p2p_trades_keep_their_end BEFORE UPDATE ON p2p_trades
    FOR EACH ROW WHEN (
        OLD.ended_at IS NOT NULL AND
        (OLD.status, OLD.buyer_bps, OLD.ended_at) IS DISTINCT FROM (NEW.status, NEW.buyer_bps, NEW.ended_at)
    ) EXECUTE FUNCTION refuse_other_order()
-- ;;
CREATE TRIGGER p2p_trades_stay BEFORE DELETE OR TRUNCATE ON p2p_trades
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
-- ;;
CREATE TRIGGER p2p_trade_history_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON p2p_trade_history
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
-- ;;
-- Everything that must be in users' "held" accounts, and because of what; from the rows of those things themselves,
-- never from the ledger, so that one cannot excuse the other.
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
UNION ALL
SELECT p.seller_id, p.asset_id, p.units + CASE p.fee_payer WHEN 'seller' THEN p.fee_units ELSE 0 END, 'p2p_trade', p.id,
       p.created_at
    FROM p2p_trades AS p WHERE p.ended_at IS NULL
UNION ALL
SELECT p.buyer_id, 'BRL', p.total_centavos, 'p2p_trade', p.id, p.created_at
    FROM p2p_trades AS p WHERE p.ended_at IS NULL AND p.settlement = 'balance'
-- ;;
-- What is and was in escrow, told from the trades and the postings that ended them: never a second truth.
CREATE VIEW p2p_escrows AS
SELECT p.id AS trade_id, leg.owner, leg.asset_id, leg.units,
       CASE WHEN p.ended_at IS NULL THEN 'locked' WHEN p.status = 'completed' THEN 'released'
            WHEN p.status = 'split' THEN 'split' ELSE 'refunded' END AS status,
       p.created_at AS locked_at, p.ended_at
    FROM p2p_trades AS p CROSS JOIN LATERAL (
        SELECT p.seller_id AS owner, p.asset_id,
               p.units + CASE p.fee_payer WHEN 'seller' THEN p.fee_units ELSE 0 END AS units
        UNION ALL
        SELECT p.buyer_id, 'BRL', p.total_centavos WHERE p.settlement = 'balance'
    ) AS leg
-- ;;
CREATE OR REPLACE FUNCTION ledger_operation(kind text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE kind
        WHEN 'adjustment' THEN 'adjustment'
        WHEN 'buy' THEN 'trade'
        WHEN 'commission' THEN 'fee'
        WHEN 'credit' THEN 'refund'
        WHEN 'delivery' THEN 'withdrawal'
        WHEN 'deposit' THEN 'deposit'
        WHEN 'dispute' THEN 'dispute'
        WHEN 'escrow' THEN 'freeze'
        WHEN 'escrow_return' THEN 'unfreeze'
        WHEN 'funding' THEN 'adjustment'
        WHEN 'hold' THEN 'freeze'
        WHEN 'network_fee' THEN 'fee'
        WHEN 'p2p_trade' THEN 'trade'
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
REVOKE DELETE ON payment_methods, p2p_orders, p2p_trades FROM liquida_runtime
-- ;;
REVOKE UPDATE, DELETE ON p2p_trade_history FROM liquida_runtime
-- ;;
REVOKE INSERT, UPDATE, DELETE ON p2p_escrows FROM liquida_runtime
