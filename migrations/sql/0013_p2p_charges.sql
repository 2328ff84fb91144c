-- P2P trades paid by a PIX charge at our provider. Statements are split at the lines of two semicolons.

DROP TRIGGER charges_keep_their_order ON charges
-- ;;
CREATE TRIGGER charges_keep_their_order BEFORE UPDATE ON charges
    FOR EACH ROW WHEN (
        (OLD.key, OLD.user_id, OLD.trade_id, OLD.p2p_trade_id, OLD.provider, OLD.amount_centavos, OLD.expires_at,
         OLD.accepts_until, OLD.watched_until, coalesce(OLD.window_seconds, NEW.window_seconds)) IS DISTINCT FROM
        (NEW.key, NEW.user_id, NEW.trade_id, NEW.p2p_trade_id, NEW.provider, NEW.amount_centavos, NEW.expires_at,
         NEW.accepts_until, NEW.watched_until, NEW.window_seconds)
    ) EXECUTE FUNCTION refuse_other_order()
-- ;;
CREATE FUNCTION charge_guard_p2p() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM FROM p2p_trades AS t
        WHERE t.id = NEW.p2p_trade_id AND t.status = 'open' AND t.settlement = 'charge'
          AND (t.buyer_id, t.total_centavos) = (NEW.user_id, NEW.amount_centavos) FOR SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no P2P trade % waits for this charge', NEW.p2p_trade_id USING ERRCODE = 'LQ005';
    END IF;
    RETURN NEW;
END $$
-- ;;
CREATE TRIGGER charges_need_a_p2p_trade BEFORE INSERT ON charges
    FOR EACH ROW WHEN (NEW.p2p_trade_id IS NOT NULL) EXECUTE FUNCTION charge_guard_p2p()
-- ;;
-- Coins are released for a PIX only where that PIX is credited, whole.
CREATE FUNCTION p2p_trade_guard_receipt() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM FROM pix_receipts AS r JOIN charges AS c ON c.key = r.charge_key
        WHERE c.p2p_trade_id = NEW.id AND r.status = 'credited'
          AND r.amount_centavos - r.taken_back_centavos = NEW.total_centavos FOR SHARE OF r;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no PIX for P2P trade % is credited', NEW.id USING ERRCODE = 'LQ005';
    END IF;
    RETURN NEW;
END $$
-- ;;
CREATE TRIGGER p2p_trades_need_a_receipt BEFORE UPDATE OF status ON p2p_trades
    FOR EACH ROW WHEN (NEW.settlement = 'charge' AND NEW.status IN ('completed', 'split') AND OLD.ended_at IS NULL)
    EXECUTE FUNCTION p2p_trade_guard_receipt()
