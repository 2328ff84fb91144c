-- Our own door, one transfer between a user and the house's desk, without a Python client.
\set a random(0, :accounts - 1)
\set units 2 * random(0, 1) - 1
SELECT ledger_post(
    ARRAY[gen_random_uuid() || '/bench'], ARRAY['transfer'], ARRAY[gen_random_uuid()::text], ARRAY[NULL::text],
    ARRAY[1, 1], ARRAY[lpad(to_hex(:a::int + 1), 32, '0'), NULL],
    ARRAY['BRL', 'BRL'], ARRAY['available', 'desk'], ARRAY[:units::int, -:units::int]::numeric[]);
