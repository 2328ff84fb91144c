#!/bin/sh
# Creates and upgrades Temporal's two databases; each step skips what is done. It runs before every start of
# the server, so that a newer image finds the schema it needs. SQL_PASSWORD comes from the environment.
set -eu

upgrade() {
    database=$1
    schema=$2
    tool="temporal-sql-tool --plugin postgres12 --ep $POSTGRES_SEEDS -u $POSTGRES_USER -p 5432 --db $database"
    $tool create
    $tool setup-schema -v 0.0
    $tool update-schema -d "/etc/temporal/schema/postgresql/v12/$schema/versioned"
}

upgrade temporal temporal
upgrade temporal_visibility visibility
