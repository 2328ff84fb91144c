-- Our own door, one transfer between two users, without a Python client.
\set a random(0, :accounts - 1)
\set step random(1, :accounts - 1)
\set b (:a + :step) % :accounts
\set low least(:a, :b) + 1
\set high greatest(:a, :b) + 1
\set units 2 * random(0, 1) - 1
SELECT ledger_post(
    ARRAY[gen_random_uuid() || '/bench'], ARRAY['transfer'], ARRAY[gen_random_uuid()::text], ARRAY[NULL::text],
    ARRAY[1, 1], ARRAY[lpad(to_hex(:low::int), 32, '0'), lpad(to_hex(:high::int), 32, '0')],
    ARRAY['BRL', 'BRL'], ARRAY['available', 'available'], ARRAY[:units::int, -:units::int]::numeric[]);
