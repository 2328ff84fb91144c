#!/bin/sh
# Runs once, when the ledger's database is made: the role that the program runs as. It owns nothing; the migrations
# give it what it may do.
set -eu

psql --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" --set ON_ERROR_STOP=1 \
    --set password="$LEDGER_RUNTIME_PASSWORD" <<'SQL'
CREATE ROLE liquida_runtime LOGIN PASSWORD :'password';
SQL
