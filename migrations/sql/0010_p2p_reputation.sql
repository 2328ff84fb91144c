-- Reviews and block lists. Statements are split at the lines of two semicolons.

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
