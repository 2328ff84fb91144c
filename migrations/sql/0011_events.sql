-- Events. Statements are split at the lines of two semicolons.

-- Numbers of a sequence are not committed in their order: a reader who has seen 7 would never see a 6 that commits later.
-- So whoever tells first locks (shared, nobody waits) the number that was the last one given, until its transaction ends;
-- the numbers it then gets are greater. What lies at or before every locked number is settled.
CREATE FUNCTION event_announce() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(2, (coalesce(pg_sequence_last_value('events_id_seq'), 0) & 2147483647)::int);
    RETURN NULL;
END $$
-- ;;
CREATE TRIGGER events_are_announced BEFORE INSERT ON events FOR EACH STATEMENT EXECUTE FUNCTION event_announce()
-- ;;
-- Up to here no event can be added any more. The last number is read before the locks: who has not locked by then gets a
-- greater one. The rows must be read by a later statement than this one, whose snapshot has what was committed meanwhile.
CREATE FUNCTION event_horizon() RETURNS bigint LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    last bigint := coalesce(pg_sequence_last_value('events_id_seq'), 0);
    back bigint;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'reading events needs READ COMMITTED: the rows are younger than the horizon';
    END IF;
    -- The lock holds the last 31 bits. A distance of half of them and more is a number given after ``last`` was read.
    SELECT max(distance) INTO back FROM (
        SELECT (last - l.objid::bigint) & 2147483647 AS distance FROM pg_locks AS l
            WHERE l.locktype = 'advisory' AND l.classid = 2 AND l.objsubid = 2
              AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
    ) AS locked WHERE distance < 1073741824;
    RETURN last - coalesce(back, 0);
END $$
-- ;;
-- Base units as the plain decimal that the API shows: exact, with all decimals of the asset.
CREATE FUNCTION decimal_text(units numeric, decimals int) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT ((coalesce(units, 0)::text || 'e-' || decimals)::numeric)::text
$$
-- ;;
CREATE TRIGGER events_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
-- ;;
-- ledger_post, and each user's balances that it moved, told in the same round trip. ledger_post itself stays as it is.
CREATE FUNCTION ledger_post_and_tell(
    keys text[], kinds text[], refs text[], reasons text[],
    numbers int[], owners text[], assets text[], purposes text[], amounts numeric[]
) RETURNS boolean[] LANGUAGE plpgsql
SET search_path = public, pg_temp SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
    fresh boolean[] := ledger_post(keys, kinds, refs, reasons, numbers, owners, assets, purposes, amounts);
BEGIN
    IF true = ANY (fresh) AND cardinality(array_remove(owners, NULL)) > 0 THEN
        INSERT INTO events (user_id, kind, payload)
            SELECT a.owner, 'balance_update', jsonb_build_object(
                    'asset', s.symbol, 'network', s.network_id,
                    'available', decimal_text(sum(a.balance) FILTER (WHERE a.purpose = 'available'), s.decimals),
                    'locked', decimal_text(sum(a.balance) FILTER (WHERE a.purpose <> 'available'), s.decimals))
                FROM (
                    SELECT DISTINCT p.owner, p.asset FROM unnest(numbers, owners, assets) AS p(number, owner, asset)
                    WHERE p.owner IS NOT NULL AND fresh[p.number]
                ) AS moved
                JOIN ledger_accounts AS a ON a.owner = moved.owner AND a.asset_id = moved.asset
                JOIN public.assets AS s ON s.id = moved.asset
                GROUP BY a.owner, s.id ORDER BY a.owner, s.id;
    END IF;
    RETURN fresh;
END $$
-- ;;
CREATE TRIGGER webhook_deliveries_follow_the_table BEFORE UPDATE OF status ON webhook_deliveries
    FOR EACH ROW EXECUTE FUNCTION check_transition('webhook_delivery')
-- ;;
CREATE TRIGGER webhook_deliveries_keep_their_subject BEFORE UPDATE ON webhook_deliveries
    FOR EACH ROW WHEN (
        (OLD.id, OLD.endpoint_id, OLD.event_id, OLD.kind, OLD.created_at)
        IS DISTINCT FROM (NEW.id, NEW.endpoint_id, NEW.event_id, NEW.kind, NEW.created_at)
    ) EXECUTE FUNCTION refuse_other_order()
-- ;;
CREATE TRIGGER webhook_attempts_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON webhook_attempts
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
-- ;;
INSERT INTO webhook_cursor (event_id) VALUES (0)
-- ;;
CREATE TRIGGER webhook_cursor_only_advances BEFORE UPDATE ON webhook_cursor
    FOR EACH ROW WHEN (NEW.event_id <= OLD.event_id) EXECUTE FUNCTION refuse_other_order()
-- ;;
CREATE TRIGGER webhook_cursor_stays BEFORE DELETE OR TRUNCATE ON webhook_cursor
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
-- ;;
REVOKE UPDATE, DELETE ON events, webhook_attempts FROM liquida_runtime
-- ;;
REVOKE DELETE ON webhook_endpoints, webhook_deliveries FROM liquida_runtime
-- ;;
REVOKE INSERT, DELETE ON webhook_cursor FROM liquida_runtime
